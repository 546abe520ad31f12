// What the tests of the exchange share: slots, reproducible numbers, rounds on all ranks, and how each rank failed.
#pragma once
#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/transport.h"
#include "exchange/exchange.h"
#include "tests/unit/exchange/model.h"

namespace thinwire::exchange::testing {

inline constexpr uint64_t kHeader = 56;  // bytes of a frame before its payloads (docs/formats/payload.md)

using CodecPtr = std::shared_ptr<const compressors::Codec>;

// A codec and what is expected of it.
struct Modelled {
  CodecPtr codec;
  CodecModel model;
};
const Modelled& none_codec();  // one object each, so that slots share buckets
const Modelled& bf16_codec();
const Modelled& skeleton_codec();
Modelled topk_codec(double density = 0.0625, int64_t chunk = 4096);  // an object of its own

SlotSpec slot(const std::string& name, int64_t elems, CodecPtr codec);

inline std::span<float> floats_of(const StatePiece& piece) {
  return {reinterpret_cast<float*>(piece.memory.data()), piece.memory.size() / sizeof(float)};
}

// Numbers of many magnitudes, zeros and equal magnitudes among them.
Values numbers(size_t elems, uint64_t seed);

struct Trial {
  int ranks = 1;
  std::vector<SlotSpec> slots;
  std::vector<CodecModel> models;  // by slot
  int64_t bucket_bytes = 1'000'000;
  FeedbackOptions feedback = {"ef14", 1.0};
  bool overlap = true;
  uint64_t order_seed = 0;  // of the order in which slots are ready; another one on each rank
  std::vector<int> node_of_rank = {};

  void add(const std::string& name, int64_t elems, const Modelled& codec);
  SlotTable table() const { return SlotTable(slots, bucket_bytes); }
  SerialExchange serial() const;
  std::vector<SlotValues> inputs(uint64_t step) const;  // by rank
};

Trial three_slots(const Modelled& codec);  // on three ranks: "first.weight", "second.weight", "third.weight" of 100, 200 and 50

inline constexpr double kPatience_s = 60;  // for what must not depend on the deadline

// An exchange as one rank sees it.
struct Rank {
  Rank(comm::Transport& transport, const Trial& trial, double timeout_s = kPatience_s, Residence& residence = host_residence());
  int index() const { return driver.rank(); }
  void begin_with(const RoundInfo& info, const SlotValues& inputs);  // begin() and the values of all slots
  void round(const RoundInfo& info, const SlotValues& inputs);       // all of it, slots being ready in the trial's order
  SlotValues values();
  SlotValues residuals();  // a slot without one: zeros

  const Trial& trial;
  comm::Driver driver;
  Exchange exchange;
};

// Runs these rounds and checks, after each and on every rank, the means and the residuals against the serial model, bit for bit.
void expect_model_bits(const Trial& trial, const std::vector<RoundInfo>& rounds);

::testing::AssertionResult same_bits(const SlotValues& found, const SlotValues& expected);

// How each rank's body ended: empty when it returned.
struct Failure {
  ExitCode code = ExitCode::ok;
  std::string what;
  bool is_non_finite_error = false, is_comm_error = false;
};
std::vector<Failure> failures_of(int num_ranks, const std::function<void(comm::Transport&)>& body);

// Every one is a CommError like this, and not because of a deadline.
void expect_comm_errors(const std::vector<Failure>& failures, const ::testing::Matcher<std::string>& what);

}  // namespace thinwire::exchange::testing
