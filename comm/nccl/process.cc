// NCCL and CUDA as this process finds them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/cuda/module.h"
#include "base/log.h"
#include "comm/nccl/nccl.h"
#include "comm/rendezvous/interfaces.h"

namespace thinwire::comm {

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw ConfigError(fmt::format("comm.transport: nccl needs an NVIDIA GPU and NCCL, but {}; comm.transport: mpi needs neither", why));
}

void log_what_it_uses(NcclApi& api, const std::string& device, std::string_view bootstrap) {
  const auto variables = environment_variables("NCCL_");
  log::info("NCCL       {} on {}, started over {}", api.version(), device, bootstrap);
  log::info("NCCL       settings: {}; interfaces: {}",
            variables.empty() ? "none (no NCCL_* in the environment)" : fmt::format("{}", fmt::join(variables, " ")),
            fmt::join(network_interfaces(), ", "));
}

}  // namespace

std::string why_no_nccl() {
  if (!cuda::is_available()) return cuda::why_unavailable();
  return static_cast<const NcclLibrary*>(cuda::part("nccl"))->why_unavailable;
}

std::unique_ptr<Transport> make_nccl_transport(Transport& bootstrap, const LaunchEnvironment& launch, double timeout_s) {
  if (const std::string why = why_no_nccl(); !why.empty()) refuse(why);
  NcclApi& api = *static_cast<const NcclLibrary*>(cuda::part("nccl"))->api;
  cuda::Runtime& runtime = cuda::runtime();
  const int num_devices = runtime.num_devices(), device = launch.local_rank % num_devices;
  log_what_it_uses(api, fmt::format("CUDA device {} ({})", device, runtime.describe(device)), bootstrap.name());
  const bool may_share = launch.local_world > num_devices && !environment_variable("CUDA_VISIBLE_DEVICES");
  if (may_share && !environment_variable("NCCL_HOSTID")) {
    log::warn("{} ranks of this host share {} GPU{}, which NCCL refuses; start one rank per GPU, or give each an NCCL_HOSTID of its own",
              launch.local_world, num_devices, num_devices == 1 ? "" : "s");
  }
  return make_nccl_transport(api, runtime, bootstrap, {.device = device, .timeout_s = timeout_s});
}

}  // namespace thinwire::comm
