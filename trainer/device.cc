#include "trainer/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/cuda/module.h"
#include "base/error.h"
#include "base/log.h"
#include "trainer/agreement.h"

namespace thinwire::trainer {

namespace {

// libtorch_cuda lies beside libtorch_cpu, and registers its operations when it is loaded.
std::string load_torch_cuda() {
  Dl_info torch_cpu;
  if (dladdr(reinterpret_cast<void*>(&at::globalContext), &torch_cpu) == 0) return "LibTorch cannot say where it lies";
  const auto path = std::filesystem::path(torch_cpu.dli_fname).parent_path() / "libtorch_cuda.so";
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return fmt::format("LibTorch's CUDA half cannot be loaded ({}): on a machine with a GPU, THINWIRE_CUDA=ON ./run build installs it",
                       dlerror());
  }
  if (!at::globalContext().hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0) {
    return "LibTorch sees no CUDA device (is the NVIDIA driver installed, and not hidden by CUDA_VISIBLE_DEVICES?)";
  }
  return "";
}

int num_gpus() { return why_no_cuda().empty() ? at::detail::getCUDAHooks().deviceCount() : 0; }

// Of the ranks on this rank's host: how many, and which of them this one is.
struct Neighbours {
  int count = 0, index = 0;
};
Neighbours neighbours_of(int rank, const std::vector<std::string>& hosts) {
  const auto& own = hosts[static_cast<size_t>(rank)];
  return {static_cast<int>(std::count(hosts.begin(), hosts.end(), own)),
          static_cast<int>(std::count(hosts.begin(), hosts.begin() + rank, own))};
}

std::string describe(int gpu, int num_ranks, int num_seen) {
  const std::string name = cuda::is_available() ? cuda::runtime().describe(gpu) : "a GPU";
  return fmt::format("cuda:{} ({}){}", gpu, name,
                     num_ranks > num_seen ? fmt::format(", shared: {} ranks, {} GPUs here", num_ranks, num_seen) : "");
}

}  // namespace

const std::string& why_no_cuda() {
  static const std::string why = load_torch_cuda();
  return why;
}

Device choose_device(comm::Driver& driver, const std::string& asked, const std::vector<std::string>& hosts) {
  if (asked == "cpu") return {};
  const Neighbours here = neighbours_of(driver.rank(), hosts);
  const int seen = num_gpus();
  const bool would_do = asked == "cuda" ? seen > 0 : seen >= here.count;
  const auto answers = gather_values(driver, "choosing a device", int{would_do});
  const auto lacking = std::find(answers.begin(), answers.end(), 0);
  if (lacking == answers.end()) {
    const int gpu = here.index % seen;
    return {c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(gpu)), describe(gpu, here.count, seen)};
  }
  const auto rank = static_cast<size_t>(lacking - answers.begin());
  const std::string why = rank == static_cast<size_t>(driver.rank()) ? ": " + why_no_cuda() : "";
  if (asked == "cuda") {
    throw ConfigError(
        fmt::format("run.device is cuda, but rank {} on {} has no GPU{}; set run.device: cpu, or auto", rank, hosts[rank], why));
  }
  return {.description = "cpu"};
}

}  // namespace thinwire::trainer
