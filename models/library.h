// LibTorch as this process finds it: for people.
#pragma once
#include <string>

namespace thinwire::models {

std::string torch_path();        // of libtorch_cpu.so
std::string cpu_capability();    // what its kernels use: "AVX2", "AVX512"
std::string parallel_backend();  // of its threads: "OpenMP", "native"

}  // namespace thinwire::models
