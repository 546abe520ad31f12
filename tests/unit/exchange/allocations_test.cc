// Once it has seen a few rounds, the exchange allocates nothing: no codec, policy or way of combining does, on any of its threads.
#include <gmock/gmock.h>

#include <atomic>
#include <barrier>
#include <cstdlib>
#include <new>

#include "compressors/registry.h"
#include "exchange/every_step/every_step.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace {
std::atomic<bool> g_counting = false;
std::atomic<uint64_t> g_allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
  if (g_counting) ++g_allocations;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return counted(bytes, static_cast<std::size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace thinwire::exchange {
namespace {

using namespace testing;

struct Way {
  std::string codec, policy;
};

class Allocations : public ::testing::TestWithParam<Way> {
 protected:
  static constexpr int kRanks = 3;

  // In `rounds` rounds of all ranks, after `before` others.
  static uint64_t allocated(const Way& way, uint64_t before, uint64_t rounds) {
    Trial trial;
    trial.ranks = kRanks;
    trial.bucket_bytes = 4 * 5000;
    trial.feedback.name = way.policy;
    compressors::CodecChoice choice;
    choice.codec = way.codec;
    const auto codec = choice.make();
    for (const char* name : {"first", "second", "third", "fourth"}) {
      trial.slots.push_back({.name = name, .rows = 64, .cols = 64, .codec = codec, .text = way.codec});
    }
    std::barrier everyone(kRanks);
    test::run_ranks(kRanks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      EveryStep schedule(rank.exchange);
      const Values input = numbers(64 * 64, 11 + static_cast<uint64_t>(rank.index()));
      for (uint64_t step = 1; step <= before + rounds; ++step) {
        if (step == before + 1) {
          everyone.arrive_and_wait();
          if (rank.index() == 0) g_counting = true;
          everyone.arrive_and_wait();
        }
        schedule.begin_step({step, 1, false, false});
        for (Slot slot = 4; slot-- > 0;) {
          std::ranges::copy(input, rank.exchange.values(slot).begin());
          schedule.gradient_ready(slot);
        }
        schedule.reduce();
        schedule.end_step();
      }
      everyone.arrive_and_wait();
      if (rank.index() == 0) g_counting = false;
      everyone.arrive_and_wait();
    });
    return g_allocations.exchange(0);
  }
};

// The loopback's pool of message buffers may still grow after three rounds, when a rank is for once far ahead of another: a few buffers for
// each pair of ranks and lane. Everything else would show in every round.
TEST_P(Allocations, EndWithTheFirstRounds) {
  constexpr uint64_t kRounds = 60, kPool = 4 * kRanks * kRanks * 3;
  const uint64_t allocations = allocated(GetParam(), 3, kRounds);
  EXPECT_LT(allocations, kPool);
  EXPECT_LT(allocations, kRounds * kRanks) << "less than one a round on each rank";
}

TEST_P(Allocations, ThereAreNoneInTheLongRun) {
  uint64_t fewest = UINT64_MAX;
  for (int attempt = 0; attempt < 10 && fewest > 0; ++attempt) fewest = std::min(fewest, allocated(GetParam(), 60, 60));
  EXPECT_EQ(fewest, 0u);
}

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const char* codec : {"none", "bf16", "fp16", "quantize", "sign", "topk", "sparseloco", "randomk"}) all.push_back({codec, "ef14"});
  for (const char* policy : {"none", "ef21", "ef21_sgdm", "econtrol"}) all.push_back({"topk", policy});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Ways, Allocations, ::testing::ValuesIn(ways()),
                         [](const auto& way) { return way.param.codec + "_" + way.param.policy; });

}  // namespace
}  // namespace thinwire::exchange
