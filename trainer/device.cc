#include "trainer/device.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/cuda/module.h"
#include "base/error.h"
#include "models/cuda.h"
#include "trainer/agreement.h"

namespace thinwire::trainer {

namespace {

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

Device choose_device(comm::Driver& driver, const std::string& asked, const std::vector<std::string>& hosts) {
  if (asked == "cpu") return {};
  const Neighbours here = neighbours_of(driver.rank(), hosts);
  const int seen = models::num_gpus();
  const bool would_do = asked == "cuda" ? seen > 0 : seen >= here.count;
  const auto answers = gather_values(driver, "choosing a device", int{would_do});
  const auto lacking = std::find(answers.begin(), answers.end(), 0);
  if (lacking == answers.end()) {
    const int gpu = here.index % seen;
    return {c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(gpu)), describe(gpu, here.count, seen)};
  }
  const auto rank = static_cast<size_t>(lacking - answers.begin());
  const std::string why = rank == static_cast<size_t>(driver.rank()) ? ": " + models::why_no_cuda() : "";
  if (asked == "cuda") {
    throw ConfigError(
        fmt::format("run.device is cuda, but rank {} on {} has no GPU{}; set run.device: cpu, or auto", rank, hosts[rank], why));
  }
  return {.description = "cpu"};
}

}  // namespace thinwire::trainer
