// What a GPU needs, link by link: the driver, our module, LibTorch's CUDA half, NCCL.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/doctor/finding.h"
#include "base/cuda/module.h"

namespace thinwire::app::doctor {

struct CudaState {
  std::string driver;               // what the kernel says of it; empty: it has none
  bool has_driver_library = false;  // libcuda.so.1 can be loaded
  cuda::Lack lacks = cuda::Lack::module;
  std::string why_no_module;                // where something lacks
  std::vector<std::string> gpus;            // that the module sees
  std::optional<std::string> why_no_torch;  // empty: LibTorch sees a GPU; nullopt: not tried
  std::string why_no_nccl, nccl;            // one of them, where the module is there
  bool can_build = true;                    // the program lies in a build tree, beside ./run
};
CudaState examine_cuda();

struct CudaUse {
  bool device = false, nccl = false;  // that a run asks for: what they lack is BAD, and a note for others
};
Findings findings_of(const CudaState& state, CudaUse use);

}  // namespace thinwire::app::doctor
