#include "exchange/every_step/every_step.h"

#include <algorithm>
#include <cmath>

#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

Trial small_model(int ranks, const Modelled& codec) {
  Trial trial;
  trial.ranks = ranks;
  trial.add("embed", 300, codec);
  trial.add("norm", 5, codec);
  trial.add("head", 120, codec);
  trial.bucket_bytes = 500;
  return trial;
}

// The gradient that one rank's backward adds in one micro-batch.
SlotValues micro_gradients(const Trial& trial, uint64_t step, int64_t sequence) {
  SlotValues all;
  for (size_t s = 0; s < trial.slots.size(); ++s)
    all.push_back(numbers(trial.slots[s].elems(), step * 1000 + static_cast<uint64_t>(sequence) * 10 + s));
  return all;
}

void accumulate(SlotValues& total, const SlotValues& more) {
  for (size_t s = 0; s < total.size(); ++s) {
    for (size_t i = 0; i < total[s].size(); ++i) total[s][i] += more[s][i];
  }
}

SlotValues zeros(const Trial& trial) {
  SlotValues all;
  for (const SlotSpec& slot : trial.slots) all.emplace_back(slot.elems(), 0.0f);
  return all;
}

// As the trainer does it: micro-batch m of rank r has sequence r * micro_batches + m. Slots in `silent` never become ready.
void step_on(Rank& rank, Schedule& schedule, const StepPlan& plan, const std::vector<Slot>& silent = {}) {
  schedule.begin_step(plan);
  for (int64_t micro = 0; micro < plan.micro_batches; ++micro) {
    const SlotValues fresh = micro_gradients(rank.trial, plan.step, rank.index() * plan.micro_batches + micro);
    for (Slot s = static_cast<Slot>(fresh.size()); s-- > 0;) {
      if (std::ranges::find(silent, s) != silent.end()) continue;
      const auto gradient = schedule.gradient(s);
      for (size_t i = 0; i < gradient.size(); ++i) gradient[i] += fresh[s][i];
      if (micro + 1 == plan.micro_batches) schedule.gradient_ready(s);
    }
  }
  schedule.reduce();
  schedule.end_step();
}

std::vector<SlotValues> accumulated(const Trial& trial, uint64_t step, int64_t micro_batches) {
  std::vector<SlotValues> by_rank;
  for (int rank = 0; rank < trial.ranks; ++rank) {
    by_rank.push_back(zeros(trial));
    for (int64_t micro = 0; micro < micro_batches; ++micro)
      accumulate(by_rank.back(), micro_gradients(trial, step, rank * micro_batches + micro));
  }
  return by_rank;
}

TEST(EveryStep, ExchangesTheMeanOverMicroBatches) {
  for (const Modelled& codec : {none_codec(), topk_codec(0.1, 64)}) {
    const Trial trial = small_model(3, codec);
    test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      EveryStep schedule(rank.exchange);
      SerialExchange serial = trial.serial();
      for (const uint64_t step : {1, 2, 3}) {
        const int64_t micro_batches = static_cast<int64_t>(step) + 1;
        step_on(rank, schedule, {step, micro_batches, /*dense=*/step == 2, /*last=*/false});
        const auto inputs = accumulated(trial, step, micro_batches);
        const float scale = 1.0f / static_cast<float>(micro_batches);
        EXPECT_TRUE(same_bits(rank.values(), step == 2 ? serial.dense_round(inputs, scale) : serial.round(inputs, scale)))
            << "step " << step;
        EXPECT_TRUE(same_bits(rank.residuals(), serial.residuals(rank.index())));
      }
    });
  }
}

TEST(EveryStep, GivesOneProcessWithNMicroBatchesTheBitsOfNRanks) {
  constexpr int kRanks = 4;
  SlotValues of_ranks, of_one;
  Trial trial = small_model(kRanks, none_codec());
  test::run_ranks(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    EveryStep schedule(rank.exchange);
    step_on(rank, schedule, {1, 1, false, false});
    if (rank.index() == 0) of_ranks = rank.values();
  });
  trial.ranks = 1;
  test::run_ranks(1, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    EveryStep schedule(rank.exchange);
    step_on(rank, schedule, {1, kRanks, false, false});
    of_one = rank.values();
  });
  EXPECT_TRUE(same_bits(of_one, of_ranks));
}

TEST(EveryStep, SendsZeroForAParameterWithoutGradient) {
  const Trial trial = small_model(2, topk_codec(0.1, 64));
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    EveryStep schedule(rank.exchange);
    SerialExchange serial = trial.serial();
    for (const uint64_t step : {1, 2}) {
      const bool silent_step = step == 2;  // in the second, rank 1 never meets the embedding, and nobody the norm
      auto inputs = accumulated(trial, step, 1);
      if (silent_step) inputs[0][1] = inputs[1][1] = Values(5, 0.0f), inputs[1][0] = Values(300, 0.0f);
      const std::vector<Slot> silent = !silent_step        ? std::vector<Slot>{}
                                       : rank.index() == 0 ? std::vector<Slot>{1}
                                                           : std::vector<Slot>{0, 1};
      step_on(rank, schedule, {step, 1, false, false}, silent);
      EXPECT_TRUE(same_bits(rank.values(), serial.round(inputs, 1))) << "residuals are still offered";
    }
  });
}

TEST(EveryStep, KeepsReplicasEqualAndNoStateOfItsOwn) {
  const Trial trial = small_model(1, none_codec());
  test::run_ranks(1, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto schedule = make_schedule(ExchangeOptions(), rank.exchange, {});
    EXPECT_NE(dynamic_cast<EveryStep*>(schedule.get()), nullptr) << "the default";
    step_on(rank, *schedule, {1, 1, false, false});
    EXPECT_TRUE(schedule->exchanged());
    EXPECT_TRUE(schedule->replicas_agree());
    EXPECT_TRUE(schedule->optimizer_agrees());
    EXPECT_TRUE(schedule->state().empty());
  });
}

}  // namespace
}  // namespace thinwire::exchange
