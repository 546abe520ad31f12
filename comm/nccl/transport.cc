#include <fmt/format.h>

#include <thread>

#include "base/check.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"
#include "comm/group.h"
#include "comm/nccl/channel.h"
#include "comm/nccl/nccl.h"

namespace thinwire::comm {

namespace {

constexpr auto kTransportPause = std::chrono::milliseconds(1);

class NcclTransport final : public Transport {
 public:
  NcclTransport(NcclApi& api, cuda::Runtime& runtime, Transport& bootstrap, const NcclSettings& settings)
      : api_(api), runtime_(runtime), bootstrap_(bootstrap), settings_(settings) {}
  int world_rank() const override { return bootstrap_.world_rank(); }
  int world_size() const override { return bootstrap_.world_size(); }
  std::string_view name() const override { return "nccl"; }
  Transport& control() override { return bootstrap_.control(); }
  int max_bulk_lanes() const override { return 1; }

  std::unique_ptr<Channel> open(const Group& group, std::string_view name) override {
    index_in(group, world_rank(), world_size());
    auto side = bootstrap_.open(group, fmt::format("nccl {}", name));
    try {
      runtime_.use(settings_.device);
      auto communicator = connect(*side, name);
      auto device = std::make_unique<DeviceLine>(runtime_, settings_.device, std::move(communicator));
      return std::make_unique<NcclChannel>(std::move(side), std::move(device), settings_.part_limit_bytes, settings_.close_timeout_s);
    } catch (const Error& e) {
      if (side) side->abort(e.code(), e.what());
      throw;
    }
  }

 private:
  std::unique_ptr<Communicator> connect(Channel& side, std::string_view name) {
    const auto patience = std::make_shared<Patience>(settings_.timeout_s);
    patience->report_by([](const Stuck& stuck) { return Diagnosis{ExitCode::comm, stuck.text()}; });  // there is nothing yet to be at
    Wire wire(side, patience);
    const std::string what = fmt::format("opening NCCL channel '{}'", name);
    wire.set_purpose(what);
    std::vector<MutableBytes> nothing(static_cast<size_t>(side.size()));
    all_gather(wire, {}, nothing);  // everyone is here: who is not is named, which NCCL could not
    NcclId id;
    if (side.rank() == 0) id = api_.make_id();
    broadcast(wire, id.bytes, 0);
    std::unique_ptr<Communicator> communicator;
    const auto is_connected = [&] {
      try {
        if (!communicator) communicator = std::make_unique<Communicator>(api_, side.size(), id, side.rank());
        return communicator->is_ready();
      } catch (const CommError& e) {
        throw CommError(fmt::format("{} in {}", e.what(), what));
      }
    };
    for (const Stopwatch waited; !is_connected(); std::this_thread::sleep_for(kTransportPause)) {
      if (const Status health = side.health(); health.state == Status::State::failed)
        throw CommError(health.why + ", met in " + what, health.code);
      if (waited.seconds() > settings_.timeout_s) {
        throw CommError(
            fmt::format("NCCL did not connect {} ranks within {:g} s in {}; NCCL_DEBUG=INFO shows which network it tries, and "
                        "NCCL_SOCKET_IFNAME chooses one",
                        side.size(), settings_.timeout_s, what));
      }
    }
    return communicator;
  }

  NcclApi& api_;
  cuda::Runtime& runtime_;
  Transport& bootstrap_;
  const NcclSettings settings_;
};

}  // namespace

std::unique_ptr<Transport> make_nccl_transport(NcclApi& api, cuda::Runtime& runtime, Transport& bootstrap, const NcclSettings& settings) {
  return std::make_unique<NcclTransport>(api, runtime, bootstrap, settings);
}

}  // namespace thinwire::comm
