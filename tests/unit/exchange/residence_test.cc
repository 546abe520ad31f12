// Parameters and gradients that live elsewhere than in the exchange's memory end with the bits of those that live there, under every
// schedule; and what a round fetches is what backward had said was ready.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "exchange/schedule.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

constexpr int kRanks = 3;
constexpr size_t kSlots = 4, kSlotElems = 500;
constexpr uint64_t kSteps = 24;

// As a device would be: other memory, reached by copies alone.
class Elsewhere final : public Residence {
 public:
  explicit Elsewhere(const SlotTable& table) : table_(table), gradients_(table.total_elems()), ready_(kSlots) {
    for (size_t s = 0; s < kSlots; ++s) parameters_.emplace_back(kSlotElems, 0.5f);
    copies_.assign(kSlots, std::vector<float>(kSlotElems, -1e9f));  // stale until fetched
  }
  std::vector<std::span<float>> copies() { return {copies_.begin(), copies_.end()}; }
  std::span<float> parameter(Slot slot) { return parameters_[slot]; }
  std::span<float> gradient(Slot slot) { return std::span(gradients_).subspan(table_.offset(slot), kSlotElems); }

  void zero_gradients() override {
    std::ranges::fill(gradients_, 0.0f);
    for (auto& ready : ready_) ready = false;
  }
  void scale_gradients(float factor) override {
    for (float& g : gradients_) g *= factor;
  }
  void gradient_ready(Slot slot) override { ready_[slot] = true; }
  void fetch_gradients(size_t begin, std::span<float> to) override {
    for (Slot slot = 0; slot < kSlots; ++slot) {
      if (table_.offset(slot) >= begin && table_.offset(slot) < begin + to.size()) EXPECT_TRUE(ready_[slot]);
    }
    std::copy_n(gradients_.begin() + static_cast<std::ptrdiff_t>(begin), to.size(), to.begin());
  }
  void store_gradients(size_t begin, std::span<const float> from) override {
    std::ranges::copy(from, gradients_.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  void fetch_parameters(Slot slot) override { copies_[slot] = parameters_[slot]; }
  void store_parameters(Slot slot) override { parameters_[slot] = copies_[slot]; }

 private:
  const SlotTable& table_;
  std::vector<float> gradients_;
  std::vector<std::atomic<bool>> ready_;
  std::vector<std::vector<float>> parameters_, copies_;
};

struct Course {
  std::string name;
  ExchangeOptions exchange;
};

using Parameters = std::vector<std::vector<float>>;  // by rank, all slots

// In the last step one slot gets no gradient: backward never reaches it.
Parameters ends_of(const Course& course, bool elsewhere) {
  Trial trial;
  trial.ranks = kRanks;
  trial.bucket_bytes = 4 * 800;
  trial.feedback = {"ef14", 0.95};
  for (const char* name : {"a", "b", "c", "d"}) trial.slots.push_back(slot(name, kSlotElems, topk_codec(0.1, 64).codec));
  if (course.exchange.schedule == "local_steps") assign_fragments(trial.slots, course.exchange.fragments);

  Parameters ends(kRanks);
  test::run_ranks(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto own = static_cast<size_t>(rank.index());
    Elsewhere there(rank.exchange.table());
    std::vector<float> here(kSlots * kSlotElems, 0.5f);
    std::vector<std::span<float>> parameters;
    for (size_t s = 0; s < kSlots; ++s)
      parameters.push_back(elsewhere ? there.parameter(static_cast<Slot>(s)) : std::span(here).subspan(kSlotElems * s, kSlotElems));
    const auto schedule =
        make_schedule(course.exchange, rank.exchange, elsewhere ? there.copies() : parameters, elsewhere ? &there : nullptr);
    const Values direction = numbers(kSlots * kSlotElems, 5 + own);
    for (uint64_t step = 1; step <= kSteps; ++step) {
      schedule->begin_step({step, 2, false, step == kSteps});
      const auto gradient = [&](Slot slot) { return elsewhere ? there.gradient(slot) : schedule->gradient(slot); };
      for (Slot slot = kSlots; slot-- > 0;) {
        if (step == kSteps && slot == 2) continue;
        for (size_t i = 0; i < kSlotElems; ++i)
          gradient(slot)[i] += direction[(kSlotElems * slot + 13 * step + i) % direction.size()] + parameters[slot][i];
        schedule->gradient_ready(slot);
      }
      schedule->reduce();
      for (Slot slot = 0; slot < kSlots; ++slot) {
        for (size_t i = 0; i < kSlotElems; ++i) parameters[slot][i] -= 0.01f * gradient(slot)[i];
      }
      schedule->end_step();
    }
    for (const auto& parameter : parameters) ends[own].insert(ends[own].end(), parameter.begin(), parameter.end());
  });
  return ends;
}

class Residences : public ::testing::TestWithParam<Course> {};

TEST_P(Residences, EndWithTheBitsOfTheHost) {
  const auto here = ends_of(GetParam(), false), there = ends_of(GetParam(), true);
  EXPECT_EQ(there, here);
  EXPECT_EQ(here, Parameters(kRanks, here[0])) << "replicas agree";
}

ExchangeOptions local_steps(int64_t every, int64_t delay, int64_t fragments, std::string outer = "sgd") {
  ExchangeOptions options;
  options.schedule = "local_steps";
  options.every = every;
  options.delay = delay;
  options.fragments = fragments;
  options.outer.name = std::move(outer);
  return options;
}

ExchangeOptions every_step() {
  ExchangeOptions options;
  options.schedule = "every_step";
  return options;
}

INSTANTIATE_TEST_SUITE_P(OfEverySchedule, Residences,
                         ::testing::ValuesIn(std::vector<Course>{{"every_step", every_step()},
                                                                 {"local_steps", local_steps(4, 0, 1)},
                                                                 {"nesterov", local_steps(4, 0, 1, "nesterov")},
                                                                 {"delayed", local_steps(4, 2, 1)},
                                                                 {"fragments", local_steps(4, 1, 2)}}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace thinwire::exchange
