// What error feedback keeps, through checkpoints, when a run goes on with more or fewer ranks: 2, 4, 3 and 1.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/policies.h"
#include "trainer/run_state.h"

namespace thinwire::trainer {
namespace {

using namespace exchange::testing;
using exchange::Exchange;
using exchange::SlotTable;
namespace fs = std::filesystem;

// Over all ranks, and what each rank held.
struct Books {
  Sums residual, owed, estimate, mean, momentum, size, scale;  // means over those that keep them; owed: the sum
  int keepers = 0;
};

Books add_up(const std::vector<std::optional<StateSnapshot>>& ranks) {
  Books books;
  for (const auto& one : ranks) books.keepers += one ? 1 : 0;
  const double share = 1.0 / books.keepers;
  const auto add = [](Sums& to, const Sums& from, double weight) {
    to.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) to[i] += weight * from[i];
  };
  for (const auto& one : ranks) {
    if (!one) continue;
    add(books.residual, one->residual, share), add(books.estimate, one->estimate, share), add(books.momentum, one->momentum, share);
    add(books.owed, one->owed, 1), add(books.scale, one->scale, share);
    books.mean = one->mean;
    books.size.resize(one->residual.size());
    for (size_t i = 0; i < books.size.size(); ++i)
      books.size[i] +=
          share * (std::abs(one->residual[i]) + std::abs(one->estimate[i]) + std::abs(one->momentum[i])) + std::abs(one->owed[i]);
  }
  return books;
}

class WorldSize : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = fs::path(::testing::TempDir()) / (std::string("world_size_") + info->name());
    fs::remove_all(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  checkpoint::State state_of(Exchange& exchange, SavedBy saved_by) {
    checkpoint::State state{{}, {{"step", step_}}};
    const auto pieces = saved_by == SavedBy::as_many_ranks ? exchange.state() : exchange.state_to_regroup();
    for (const auto& piece : pieces)
      state.tensors.push_back(
          tensor_of("exchange/", piece, piece.memory, exchange, {static_cast<int64_t>(exchange.table().slots()[piece.slot].elems())}));
    return state;
  }

  // Loads what the world before saved, tells `seen`, trains some rounds, and saves.
  Books stage(const SlotTable& table, const exchange::FeedbackOptions& feedback, int world, const std::vector<int>& nodes = {}) {
    std::vector<std::optional<StateSnapshot>> loaded(static_cast<size_t>(world)), saved(static_cast<size_t>(world));
    test::run_ranks(world, [&](comm::Transport& transport) {
      comm::Driver driver(transport, kPatience_s);
      Exchange exchange(driver, table, feedback, true, 1, nodes);
      checkpoint::Store store(directory_, driver, {});
      const auto rank = static_cast<size_t>(driver.rank());
      const auto look = [&](auto& at) {
        const auto pieces = exchange.state();
        if (!pieces.empty()) at[rank].emplace(exchange);
      };
      if (step_ > 0) {
        auto state = state_of(exchange, SavedBy::another_number);
        auto report = store.load(step_, state);
        if (rank == 0) report_ = std::move(report);
        exchange.regrouped();
        look(loaded);
      }
      const auto next = static_cast<uint64_t>(step_);
      for (uint64_t step = next + 1; step <= next + 5; ++step) run_round(exchange, {step, 1, false}, gradients(table, step, driver.rank()));
      look(saved);
      driver.run("together", [](comm::Wire&) {});
      auto state = state_of(exchange, SavedBy::as_many_ranks);
      state.numbers["step"] = static_cast<int64_t>(next) + 5;
      store.save(static_cast<int64_t>(next) + 5, state, {});
    });
    const bool first = step_ == 0;
    step_ += 5;
    before_ = std::exchange(last_, add_up(saved));
    return first ? Books() : add_up(loaded);
  }

  void expect_kept(const Books& now, bool is_packed = false) {
    ASSERT_EQ(now.residual.size(), before_.residual.size());
    for (size_t i = 0; i < now.residual.size(); ++i) {
      const double bound = 1e-6 * before_.size[i], packing = is_packed ? 0.5 * now.scale[i] * (1 + 1e-5) : 0;
      ASSERT_NEAR(now.residual[i], before_.residual[i], bound + packing) << i;
      ASSERT_NEAR(now.owed[i], before_.owed[i], bound) << i;
      ASSERT_NEAR(now.estimate[i], before_.estimate[i], bound) << i;
      ASSERT_NEAR(now.momentum[i], before_.momentum[i], bound) << i;
      ASSERT_EQ(now.mean[i], before_.mean[i]) << i;
    }
  }
  static double norm(const Sums& sums) {
    double squares = 0;
    for (const double x : sums) squares += x * x;
    return std::sqrt(squares);
  }

  fs::path directory_;
  int64_t step_ = 0;
  Books before_, last_;
  std::vector<std::string> report_;
};

SlotTable table_of(const CompressorPtr& codec, std::optional<compressors::Combine> combine = {}) {
  auto slots = policy_slots(codec);
  for (auto& slot : slots) slot.combine_as = combine;
  return SlotTable(std::move(slots), 1000);
}

CompressorPtr topk() { return compressor("topk", {"density=10%", "chunk=32"}); }

TEST_F(WorldSize, EveryPolicyKeepsItsMeans) {
  for (const Policy& policy : all_policies()) {
    if (policy.name == "none") continue;
    SCOPED_TRACE(policy.name);
    TearDown();
    step_ = 0;
    const SlotTable table = table_of(topk());
    const auto feedback = allowed(policy, table.slots());
    const bool is_packed = policy.options.state == "int8";
    stage(table, feedback, 2);
    const double kept = norm(last_.residual) + norm(last_.estimate);
    EXPECT_GT(kept, 1);                             // there is something to lose
    expect_kept(stage(table, feedback, 4), false);  // copies, of int8 too
    expect_kept(stage(table, feedback, 3), is_packed);
    expect_kept(stage(table, feedback, 1), is_packed);
    expect_kept(stage(table, feedback, 2));
  }
}

// EF21's result H stays the mean of the ranks' h, less what owners owe: the identity that the next rounds rest on.
TEST_F(WorldSize, EstimatesStayTheMeanOfTheRanks) {
  const SlotTable table = table_of(topk(), compressors::Combine::reencode);
  const exchange::FeedbackOptions feedback{.name = "ef21", .start = "zero"};
  for (const int world : {2, 4, 3}) {
    stage(table, feedback, world);
    for (size_t i = 0; i < last_.mean.size(); ++i)
      ASSERT_NEAR(last_.mean[i] + last_.owed[i], last_.estimate[i], 1e-5 * (1 + std::abs(last_.estimate[i]))) << world << " " << i;
  }
}

TEST_F(WorldSize, OwnersSecondErrorsAreCutAnew) {
  const SlotTable table = table_of(topk(), compressors::Combine::reencode);
  stage(table, {"ef14", 0.95}, 4);
  EXPECT_GT(norm(last_.owed), 0.1);
  for (const int world : {3, 5, 2, 4, 1, 3}) {
    expect_kept(stage(table, {"ef14", 0.95}, world));
    EXPECT_EQ(norm(last_.owed) > 0, world > 2);
  }
  EXPECT_THAT(report_, ::testing::Contains("cut anew among the ranks: exchange/owed"));
}

TEST_F(WorldSize, QuantizersOweToo) {
  const SlotTable table = table_of(compressor("quantize"));
  stage(table, {"ef14", 1}, 3);
  EXPECT_GT(norm(last_.owed), 1e-4);
  for (const int world : {4, 2}) expect_kept(stage(table, {"ef14", 1}, world));
}

// Leaders of two nodes of two ranks keep feedback; then of three nodes among five ranks, then one rank of a single node.
TEST_F(WorldSize, UnderAHierarchyLeadersHandOver) {
  const SlotTable table = table_of(topk());
  stage(table, {"ef14", 1}, 4, {0, 0, 1, 1});
  EXPECT_EQ(last_.keepers, 2);
  expect_kept(stage(table, {"ef14", 1}, 5, {0, 1, 1, 2, 2}));
  EXPECT_EQ(last_.keepers, 3);
  expect_kept(stage(table, {"ef14", 1}, 1, {0}));
}

// What all ranks keep alike is taken as it is.
TEST_F(WorldSize, FactorsOfPowerSgdAreKept) {
  for (const std::vector<int>& nodes : {std::vector<int>(), std::vector<int>{0, 0, 1, 1}}) {
    TearDown();
    step_ = 0;
    const SlotTable table = table_of(compressor("powersgd"));
    std::vector<std::vector<std::byte>> factors(2);
    const auto note = [&](Exchange& exchange, std::vector<std::byte>& into) {
      for (const auto& piece : exchange.state())
        if (piece.name.starts_with("sketch/")) into.insert(into.end(), piece.memory.begin(), piece.memory.end());
    };
    test::run_ranks(4, [&](comm::Transport& transport) {
      comm::Driver driver(transport, kPatience_s);
      Exchange exchange(driver, table, {"ef14", 1}, true, 1, nodes);
      run_round(exchange, {1, 1, false}, gradients(table, 1, driver.rank()));
      if (driver.rank() == 0) note(exchange, factors[0]);
      checkpoint::Store(directory_, driver, {}).save(1, state_of(exchange, SavedBy::as_many_ranks), {});
    });
    step_ = 1;
    test::run_ranks(3, [&](comm::Transport& transport) {
      comm::Driver driver(transport, kPatience_s);
      Exchange exchange(driver, table, {"ef14", 1}, true, 1, nodes.empty() ? nodes : std::vector<int>{0, 1, 1});
      auto state = state_of(exchange, SavedBy::another_number);
      state.numbers.clear();
      checkpoint::Store(directory_, driver, {}).load(1, state);
      exchange.regrouped();
      if (driver.rank() == 0) note(exchange, factors[1]);
    });
    EXPECT_FALSE(factors[0].empty());
    EXPECT_EQ(factors[0], factors[1]);
  }
}

}  // namespace
}  // namespace thinwire::trainer
