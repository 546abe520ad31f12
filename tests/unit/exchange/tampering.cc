#include "tests/unit/exchange/tampering.h"

#include <map>
#include <vector>

#include "base/hash.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange::testing {

namespace {
class TamperingChannel final : public comm::Channel {
 public:
  TamperingChannel(std::unique_ptr<comm::Channel> inner, TamperingTransport::Tamper tamper)
      : inner_(std::move(inner)), tamper_(std::move(tamper)) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  int member(int index) const override { return inner_->member(index); }
  comm::Ticket post(std::span<comm::Op> ops) override {
    const comm::Ticket ticket = inner_->post(ops);
    posted_[ticket] = ops;
    return ticket;
  }
  comm::Status poll(comm::Ticket ticket) override {
    comm::Status status = inner_->poll(ticket);
    if (status.state == comm::Status::State::pending) return status;
    for (comm::Op& op : posted_.at(ticket)) {
      if (status.state == comm::Status::State::done && op.kind == comm::Op::Kind::recv) tamper_(op);
    }
    posted_.erase(ticket);
    return status;
  }
  comm::Status health() override { return inner_->health(); }
  std::vector<int> waiting_for(comm::Ticket ticket) const override { return inner_->waiting_for(ticket); }
  void abort(ExitCode code, std::string_view why) noexcept override { inner_->abort(code, why); }

 private:
  const std::unique_ptr<comm::Channel> inner_;
  const TamperingTransport::Tamper tamper_;
  std::map<comm::Ticket, std::span<comm::Op>> posted_;
};

constexpr size_t kLeg = 8, kBodyBytes = 40, kChecksum = 48;
}  // namespace

std::unique_ptr<comm::Channel> TamperingTransport::open(const comm::Group& group, std::string_view name) {
  return std::make_unique<TamperingChannel>(inner_.open(group, name), tamper_);
}

MutableBytes frame_of(comm::Op& op) { return {static_cast<std::byte*>(op.buffer.data), op.received}; }

uint16_t leg_of(comm::Op& op) { return load_le<uint16_t>(frame_of(op).data() + kLeg); }

void reseal(comm::Op& op) {
  const MutableBytes frame = frame_of(op);
  store_le(frame.data() + kBodyBytes, static_cast<uint64_t>(frame.size() - kHeader));
  std::vector<std::byte> hashed(frame.begin(), frame.begin() + kChecksum);
  hashed.insert(hashed.end(), frame.begin() + kHeader, frame.end());
  store_le(frame.data() + kChecksum, hash64(ConstBytes(hashed)));
}

}  // namespace thinwire::exchange::testing
