#include "models/cuda.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>

#include <filesystem>

namespace thinwire::models {

namespace {
std::string load_torch_cuda() {
  if (dlopen("libcuda.so.1", RTLD_LAZY) == nullptr) return "no NVIDIA driver is installed (libcuda.so.1 is not found)";
  Dl_info torch_cpu;
  if (dladdr(reinterpret_cast<void*>(&at::globalContext), &torch_cpu) == 0) return "LibTorch cannot say where it lies";
  const auto path = std::filesystem::path(torch_cpu.dli_fname).parent_path() / "libtorch_cuda.so";
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {  // it registers its operations
    return std::string("LibTorch's CUDA half cannot be loaded (") + dlerror() +
           "): on a machine with a GPU, THINWIRE_CUDA=ON ./run build installs what it needs";
  }
  if (!at::globalContext().hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0) {
    return "LibTorch sees no CUDA device (is it hidden by CUDA_VISIBLE_DEVICES?)";
  }
  return "";
}
}  // namespace

const std::string& why_no_cuda() {
  static const std::string why = load_torch_cuda();
  return why;
}

int num_gpus() { return why_no_cuda().empty() ? at::detail::getCUDAHooks().deviceCount() : 0; }

}  // namespace thinwire::models
