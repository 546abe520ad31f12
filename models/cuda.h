// LibTorch's CUDA half, which no program of ours links: it is loaded when a model is to live on a GPU (docs/cuda.md).
#pragma once
#include <string>

namespace thinwire::models {

// Empty when LibTorch can use a GPU here; else what is missing, for people. Loads libtorch_cuda from where libtorch_cpu lies, once; thread-safe.
const std::string& why_no_cuda();

int num_gpus();  // that LibTorch sees; 0 where there is a reason

}  // namespace thinwire::models
