// What the tests of error feedback share: every policy, every compressor of the registry, rounds of numbers that differ between ranks, and
// the state of an exchange laid out by slot, whatever its buckets.
#pragma once
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "tests/support/sanitized.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange::testing {

inline constexpr uint64_t kPolicyRounds = test::kSanitized ? 40 : 200;

struct Policy {
  std::string name;  // for messages
  FeedbackOptions options;
  bool estimates() const { return options.name.starts_with("ef21") || options.name == "econtrol"; }
  bool residuals() const { return options.name == "ef14" || options.name == "econtrol"; }
};
const std::vector<Policy>& all_policies();  // none, ef14 and its decay and int8, ef21, ef21_sgdm, econtrol; estimates start at zero

using CompressorPtr = std::shared_ptr<const compressors::Compressor>;
CompressorPtr compressor(const std::string& name, const std::vector<std::string>& options = {});
std::vector<CompressorPtr> all_compressors();  // of the registry, under options that fit small layers

// Every policy under every compressor.
struct Case {
  Policy policy;
  CompressorPtr codec;
};
void PrintTo(const Case& c, std::ostream* out);
std::vector<Case> all_cases();

// Matrices, vectors, an empty slot and one of a single element: 500 elements.
std::vector<SlotSpec> policy_slots(const CompressorPtr& codec);
// The policy for these slots: econtrol with an eta of its own where a codec guarantees none.
FeedbackOptions allowed(const Policy& policy, const std::vector<SlotSpec>& slots);

// Every rank has its own mean, so that they never agree; normal noise around it. By slot, in the table's order.
SlotValues gradients(const SlotTable& table, uint64_t step, int rank);
void run_round(Exchange& exchange, const RoundInfo& info, const SlotValues& inputs);

// Numbers of one kind for all slots, one slot after the other in the table's order.
using Sums = std::vector<double>;
struct StateSnapshot {
  explicit StateSnapshot(Exchange& exchange);
  Sums residual, owed, estimate, mean, momentum;  // zeros where the policy has no such thing
  Sums scale;                                     // of int8 residuals: what a rounding may be off by
};
Sums by_slot(const SlotTable& table, const SlotValues& values);
Sums results_by_slot(Exchange& exchange);

// The bytes of all state, by name.
std::map<std::string, std::vector<std::byte>> bytes_of_state(Exchange& exchange);
void restore(Exchange& exchange, const std::map<std::string, std::vector<std::byte>>& saved);

}  // namespace thinwire::exchange::testing
