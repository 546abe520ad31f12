#include "app/doctor/cuda.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "comm/libraries.h"
#include "comm/nccl/nccl.h"
#include "models/cuda.h"

namespace thinwire::app::doctor {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSection = "libraries";

std::string first_line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

Finding lacking(bool is_wanted, const char* name, const std::string& what, const std::string& fix) {
  return is_wanted ? bad(ExitCode::usage, kSection, name, what, fix) : note(kSection, name, what, fix);
}

Finding of_driver(const CudaState& s, CudaUse use) {
  const bool is_wanted = use.device || use.nccl;
  if (s.has_driver_library) return {kSection, "NVIDIA driver", s.driver.empty() ? "libcuda.so.1" : s.driver};
  if (!s.driver.empty())
    return lacking(is_wanted, "NVIDIA driver", "the kernel has it, but there is no libcuda.so.1: " + s.driver,
                   "sudo apt-get install libcuda1 (Debian, non-free); in a container: docker run --gpus all");
  return lacking(
      is_wanted, "NVIDIA driver", "not found: neither /proc/driver/nvidia/version nor libcuda.so.1",
      "without a GPU nothing; with one, a driver for CUDA 13 (580 or later): sudo apt-get install nvidia-driver, from NVIDIA's own "
      "repository where the distribution has an older one; Ubuntu: sudo ubuntu-drivers install");
}

// Without it a model trains on a GPU all the same, by LibTorch's operations.
std::optional<Finding> of_module(const CudaState& s, CudaUse use) {
  constexpr const char* kName = "CUDA module";
  const std::string build =
      s.can_build ? "THINWIRE_CUDA=ON ./run build" : "in the source tree: THINWIRE_CUDA=ON ./run build, then cmake --install build";
  switch (s.lacks) {
    case cuda::Lack::nothing: return std::nullopt;  // its GPUs tell
    case cuda::Lack::module:
      return lacking(use.nccl, kName, s.why_no_module + "; codecs then work on the host, and there is no transport nccl",
                     "with nvcc of CUDA 13 on PATH: " + build);
    case cuda::Lack::library:
      return lacking(use.nccl, kName, s.why_no_module,
                     "install the library that is named, of the CUDA 13 that Thinwire was built with, or " + build);
    case cuda::Lack::build: return lacking(use.nccl, kName, s.why_no_module, build);
    case cuda::Lack::device: break;
  }
  if (!s.has_driver_library) return Finding{kSection, kName, "there; it waits for a driver"};
  return lacking(use.device || use.nccl, kName, "there, but it sees no CUDA device",
                 "nvidia-smi says what the driver sees; CUDA_VISIBLE_DEVICES may hide it: unset CUDA_VISIBLE_DEVICES");
}

}  // namespace

CudaState examine_cuda() {
  CudaState s;
  s.driver = first_line_of("/proc/driver/nvidia/version");
  s.has_driver_library = dlopen("libcuda.so.1", RTLD_LAZY) != nullptr;
  s.lacks = cuda::what_lacks();
  s.why_no_module = cuda::why_unavailable();
  if (s.has_driver_library) s.why_no_torch = models::why_no_cuda();
  std::error_code unreadable;
  s.can_build = fs::exists(fs::read_symlink("/proc/self/exe", unreadable).parent_path() / "CMakeCache.txt", unreadable);
  if (s.lacks != cuda::Lack::nothing) return s;
  for (int i = 0; i < cuda::runtime().num_devices(); ++i) s.gpus.push_back(cuda::runtime().describe(i));
  s.why_no_nccl = comm::why_no_nccl();
  if (s.why_no_nccl.empty()) s.nccl = comm::nccl_library();
  return s;
}

Findings findings_of(const CudaState& s, CudaUse use) {
  Findings findings{of_driver(s, use)};
  if (const auto module = of_module(s, use)) findings.push_back(*module);
  for (size_t i = 0; i < s.gpus.size(); ++i) findings.push_back({kSection, fmt::format("GPU {}", i), s.gpus[i]});
  if (s.why_no_torch && !s.why_no_torch->empty())
    findings.push_back(lacking(use.device, "LibTorch on the GPU", *s.why_no_torch, "THINWIRE_CUDA=ON ./run build"));
  if (!s.why_no_nccl.empty())
    findings.push_back(lacking(use.nccl, "NCCL", s.why_no_nccl, "sudo apt-get install libnccl2, or THINWIRE_CUDA=ON ./run build"));
  if (!s.nccl.empty()) findings.push_back({kSection, "NCCL", s.nccl});
  return findings;
}

}  // namespace thinwire::app::doctor
