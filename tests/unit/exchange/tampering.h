// A transport that changes messages on their way in, as a broken network or a peer of another mind would.
#pragma once
#include <functional>
#include <memory>

#include "base/bytes.h"
#include "comm/transport.h"

namespace thinwire::exchange::testing {

class TamperingTransport final : public comm::Transport {
 public:
  // Sees every message as it arrives; may change its bytes and shorten it (Op::received).
  using Tamper = std::function<void(comm::Op&)>;
  TamperingTransport(comm::Transport& inner, Tamper tamper) : inner_(inner), tamper_(std::move(tamper)) {}
  int world_rank() const override { return inner_.world_rank(); }
  int world_size() const override { return inner_.world_size(); }
  std::string_view name() const override { return inner_.name(); }
  std::unique_ptr<comm::Channel> open(const comm::Group& group, std::string_view name) override;

 private:
  comm::Transport& inner_;
  Tamper tamper_;
};

// A received frame, by the offsets of docs/formats/payload.md.
MutableBytes frame_of(comm::Op& op);
uint16_t leg_of(comm::Op& op);
// Gives a changed frame the length and the checksum that it would have, had its sender meant it.
void reseal(comm::Op& op);

}  // namespace thinwire::exchange::testing
