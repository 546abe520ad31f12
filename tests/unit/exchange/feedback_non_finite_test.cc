// A round that is refused leaves no trace in the bucket that it was refused for: every piece of its state is as it was, to the byte.
#include <cmath>
#include <limits>

#include "tests/unit/exchange/policies.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

constexpr Slot kPoisoned = 0;  // the last of its bucket in flat order: all others are encoded before it
constexpr float kMost = std::numeric_limits<float>::max();

void expect_only_numbers(Exchange& exchange) {
  for (const StatePiece& piece : exchange.state()) {
    if (piece.dtype != DType::f32) continue;
    for (const float value : floats_of(piece)) ASSERT_TRUE(std::isfinite(value)) << piece.name;
  }
}

// Good rounds of `before` times the usual, then one in which rank 1 has `poison` in an element of the poisoned slot.
void expect_untouched(const Case& c, float poison, bool dense, float before = 1) {
  const SlotTable table(policy_slots(c.codec), 1'000'000);
  const auto failures = failures_of(2, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, table, allowed(c.policy, table.slots()), true, 1);
    for (const uint64_t step : {1, 2, 3}) {
      SlotValues inputs = gradients(table, step, driver.rank());
      if (before != 1) inputs[kPoisoned][17] = before;
      run_round(exchange, {step, 1, false}, inputs);
    }
    const auto state = bytes_of_state(exchange);
    SlotValues inputs = gradients(table, 4, driver.rank());
    if (driver.rank() == 1) inputs[kPoisoned][17] = poison;
    try {
      run_round(exchange, {4, 1, dense}, inputs);
    } catch (const Error&) {
      if (driver.rank() == 1) {
        EXPECT_EQ(bytes_of_state(exchange), state);
      }
      expect_only_numbers(exchange);
      throw;
    }
  });
  EXPECT_TRUE(failures[1].is_non_finite_error) << failures[1].what;
  EXPECT_THAT(failures[1].what, ::testing::HasSubstr("'embed' on rank 1 at step 4: element 17 is"));
  for (const Failure& failure : failures) EXPECT_EQ(failure.code, ExitCode::non_finite) << failure.what;
}

class Refused : public ::testing::TestWithParam<Case> {};

TEST_P(Refused, LeavesNoTraceOfWhatIsNoNumber) {
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    expect_untouched(GetParam(), poison, /*dense=*/false);
    expect_untouched(GetParam(), poison, /*dense=*/true);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Refused, ::testing::ValuesIn(all_cases()),
                         [](const auto& c) { return c.param.policy.name + "_" + std::string(c.param.codec->name()); });

// Finite gradients whose difference from the estimate, or whose sum with the residual, is not.
TEST(RefusedSum, LeavesNoTraceEither) {
  const CompressorPtr topk = compressor("topk", {"density=10%", "chunk=32"});
  for (const Policy& policy : all_policies()) {
    if (policy.name == "none") continue;
    SCOPED_TRACE(policy.name);
    // Estimates are near 0.4 of the largest float, and the step away from them is beyond it; momenta take a quarter of it only.
    const bool momentum = policy.options.name == "ef21_sgdm";
    if (policy.estimates() && !momentum) expect_untouched({policy, topk}, -kMost, false, 0.4f * kMost);
  }
}

// The residual of econtrol grows beyond the largest float although every message is small: eta takes almost nothing of it.
TEST(RefusedSum, OfAnIntegralIsRefusedBeforeItIsInTheState) {
  const CompressorPtr topk = compressor("topk", {"density=3.125%", "chunk=32"});  // one of 32
  const SlotTable table({{.name = "weight", .rows = 1, .cols = 32, .codec = topk}}, 1000);
  const auto failures = failures_of(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, table, {.name = "econtrol", .eta = 0.0, .start = "zero"}, true, 1);
    for (uint64_t step = 1; step <= 10; ++step) {
      const auto state = bytes_of_state(exchange);
      try {
        run_round(exchange, {step, 1, false}, {Values(32, 0.3f * kMost)});
      } catch (const Error&) {
        EXPECT_EQ(bytes_of_state(exchange), state);
        expect_only_numbers(exchange);
        throw;
      }
    }
  });
  EXPECT_TRUE(failures[0].is_non_finite_error);
}

}  // namespace
}  // namespace thinwire::exchange
