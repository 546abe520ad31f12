// Ten thousand rounds leave nothing behind but the numbers they were to exchange, which are the same on every rank.
#include <unistd.h>

#include <fstream>

#include "base/hash.h"
#include "tests/support/run_ranks.h"
#include "tests/support/sanitized.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

constexpr bool kMemoryIsOurs = !test::kSanitized;  // sanitizers keep what was freed, and look for leaks themselves
constexpr uint64_t kRounds = test::kSanitized ? 500 : 10'000;
constexpr uint64_t kWarmUp = kRounds / 10;
constexpr int kRanks = 8;
constexpr size_t kPatterns = 8;

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

Trial small_transformer() {
  Trial trial;
  trial.ranks = kRanks;
  const Modelled topk = topk_codec(0.05, 4096);
  trial.add("embed", 8192, topk);
  trial.add("norm", 64, none_codec());
  trial.add("proj", 6000, topk);
  trial.add("bias", 3, none_codec());
  trial.add("head", 5741, topk);  // 20,000 in all
  trial.bucket_bytes = 40'000;
  return trial;
}

TEST(Soak, RoundsDoNotGrowAndReplicasStayEqual) {
  const Trial trial = small_transformer();
  std::vector<uint64_t> hashes(kRanks);
  int64_t after_warm_up_bytes = 0, at_end_bytes = 0;
  test::run_ranks(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto own = static_cast<size_t>(rank.index());
    std::vector<SlotValues> patterns;
    for (uint64_t k = 0; k < kPatterns; ++k) patterns.push_back(trial.inputs(k)[own]);
    std::vector<float> parameters(rank.exchange.flat().size(), 0.0f);
    for (uint64_t step = 1; step <= kRounds; ++step) {
      rank.round({step, 0.001f, false}, patterns[step % kPatterns]);
      for (size_t i = 0; i < parameters.size(); ++i) parameters[i] -= rank.exchange.flat()[i];
      if (own == 0 && step == kWarmUp) after_warm_up_bytes = resident_bytes();  // the other ranks are within a round of this one
    }
    if (own == 0) at_end_bytes = resident_bytes();
    hashes[own] = hash64(bytes_of(std::span(parameters)));
  });
  for (const uint64_t hash : hashes) EXPECT_EQ(hash, hashes[0]);
  if (kMemoryIsOurs) {
    EXPECT_LT(at_end_bytes - after_warm_up_bytes, 1'000'000) << "111 bytes a round would show";
  }
  RecordProperty("grown_bytes", std::to_string(at_end_bytes - after_warm_up_bytes));
}

}  // namespace
}  // namespace thinwire::exchange
