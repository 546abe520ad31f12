// What a round hands to the transport, by formula: frames of 56 bytes and their bodies, nothing else.
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

struct Bytes {
  uint64_t sent = 0, received = 0;
};

// One slice of n elements for each rank, the remainder to the last ones.
uint64_t slice_elems(uint64_t n, uint64_t rank, uint64_t ranks) { return n / ranks + (rank >= ranks - n % ranks ? 1 : 0); }

// To each peer its slice, then to each peer the own one; two ranks send all at once.
Bytes two_shot(uint64_t n, uint64_t width, uint64_t rank, uint64_t ranks) {
  if (ranks == 2) return {kHeader + width * n, kHeader + width * n};
  const uint64_t own = slice_elems(n, rank, ranks), others = n - own, peers = ranks - 1;
  const uint64_t scattered = peers * kHeader + width * others, gathered = peers * (kHeader + width * own);
  return {scattered + gathered, peers * (kHeader + width * own) + peers * kHeader + width * others};
}

// All payloads of the bucket to every peer; their lengths are known.
Bytes gathered(const std::vector<uint64_t>& payloads, uint64_t ranks) {
  uint64_t frame = kHeader;
  for (const uint64_t payload : payloads) frame += payload;
  return {(ranks - 1) * frame, (ranks - 1) * frame};
}

void expect_bytes(Trial trial, const std::function<Bytes(uint64_t rank, uint64_t ranks)>& expected) {
  for (const int ranks : {1, 2, 3, 4}) {
    trial.ranks = ranks;
    test::run_ranks(ranks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      for (const uint64_t step : {1, 2, 3}) rank.round({step, 1, false}, trial.inputs(step)[static_cast<size_t>(rank.index())]);
      const Bytes once = expected(static_cast<uint64_t>(rank.index()), static_cast<uint64_t>(ranks));
      EXPECT_EQ(rank.driver.counters().sent_bytes, 3 * once.sent) << "rank " << rank.index() << " of " << ranks;
      EXPECT_EQ(rank.driver.counters().received_bytes, 3 * once.received) << "rank " << rank.index() << " of " << ranks;
    });
  }
}

TEST(WireBytes, OfNoneAreFourAnElementTwice) {
  Trial trial;
  trial.add("first", 1000, none_codec());
  trial.add("second", 5, none_codec());
  expect_bytes(trial, [](uint64_t rank, uint64_t ranks) { return two_shot(1005, 4, rank, ranks); });
}

TEST(WireBytes, OfNoneAreThoseOfARingAllReduceAndTheFrames) {
  Trial trial;
  trial.add("weight", 1200, none_codec());  // a multiple of every number of ranks
  expect_bytes(trial, [](uint64_t, uint64_t ranks) {
    const uint64_t all_reduce = 8 * 1200 * (ranks - 1) / ranks, frames = ranks == 2 ? kHeader : 2 * (ranks - 1) * kHeader;
    return Bytes{all_reduce + frames, all_reduce + frames};
  });
}

TEST(WireBytes, OfBf16AreHalf) {
  Trial trial;
  trial.add("weight", 1001, bf16_codec());
  expect_bytes(trial, [](uint64_t rank, uint64_t ranks) { return two_shot(1001, 2, rank, ranks); });
}

TEST(WireBytes, OfTopkAreThePayloadsToEveryPeer) {
  Trial trial;
  const Modelled topk = topk_codec(0.0625, 4096);
  trial.add("first", 4096, topk);
  trial.add("second", 4096 + 160, topk);
  // 897 for 256 of 4096, and for 10 of 160: 1 + 20 + 15.
  expect_bytes(trial, [](uint64_t, uint64_t ranks) { return gathered({897, 897 + 36}, ranks); });
}

TEST(WireBytes, OfMixedCodecsAddUpOverBuckets) {
  Trial trial;
  trial.add("dense", 10, none_codec());
  trial.add("sparse", 4096, topk_codec(0.0625, 4096));
  trial.add("half", 301, bf16_codec());
  expect_bytes(trial, [](uint64_t rank, uint64_t ranks) {
    const Bytes dense = two_shot(10, 4, rank, ranks), half = two_shot(301, 2, rank, ranks), sparse = gathered({897}, ranks);
    return Bytes{dense.sent + half.sent + sparse.sent, dense.received + half.received + sparse.received};
  });
}

}  // namespace
}  // namespace thinwire::exchange
