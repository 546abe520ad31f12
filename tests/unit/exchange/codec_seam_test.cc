// What the exchange owes to a codec that it has never heard of: scratch, draws, payloads of any length, calls while backward runs.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/nonzeros_codec.h"
#include "tests/unit/exchange/spy_codec.h"
#include "tests/unit/exchange/support.h"
#include "tests/unit/exchange/tampering.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

TEST(CodecSeam, CarriesPayloadsOfAnyLength) {
  Trial trial;
  trial.ranks = 3;
  const Modelled nonzeros = {std::make_shared<NonzerosCodec>(), skeleton_model()};
  trial.add("first", 500, nonzeros);
  trial.add("second", 31, nonzeros);
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    for (const uint64_t step : {1, 2, 3}) {
      auto inputs = trial.inputs(step);
      std::ranges::fill(inputs[step % 3][0], 0.0f);  // one rank has nothing to say of the first slot
      rank.round({step, 1, false}, inputs[static_cast<size_t>(rank.index())]);
      EXPECT_TRUE(same_bits(rank.values(), trial.serial().round(inputs, 1)));
    }
  });
}

TEST(CodecSeam, RefusesBytesAfterTheLastPayload) {
  Trial trial;
  trial.ranks = 2;
  trial.add("weight", 500, {std::make_shared<NonzerosCodec>(), skeleton_model()});
  const auto failures = failures_of(trial.ranks, [&](comm::Transport& transport) {
    TamperingTransport tampering(transport, [&](comm::Op& op) {
      if (transport.world_rank() != 0) return;
      op.received += 3;  // some elements are 0: there is room
      reseal(op);
    });
    Rank rank(tampering, trial);
    for (const uint64_t step : {1, 2}) rank.round({step, 1, false}, trial.inputs(step)[static_cast<size_t>(rank.index())]);
  });
  for (const Failure& failure : failures) {
    EXPECT_TRUE(failure.is_comm_error);
    EXPECT_THAT(failure.what, ::testing::HasSubstr("rank 1's contribution to bucket 0: 3 bytes after the last payload"));
  }
}

TEST(CodecSeam, EncodesWhileBackwardRunsOnlyWithOverlap) {
  for (const bool overlap : {true, false}) {
    size_t encodes = 0;
    Trial trial;
    const CodecPtr spy = std::make_shared<SpyCodec>(topk_codec().codec, [&](const SpyCodec::Encoded&) { ++encodes; });
    for (const char* name : {"first", "second", "third"}) trial.add(name, 10, {spy, none_model()});
    trial.bucket_bytes = 4;
    trial.overlap = overlap;
    test::run_ranks(1, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      const auto encodes_so_far = [&] {
        for (int lane = 1; lane <= rank.driver.bulk_lanes(); ++lane) {
          comm::Task nothing("nothing", [](comm::Wire&) {});  // a lane's tasks run in the order posted: those before it are done
          rank.driver.post(nothing, lane);
          rank.driver.wait(nothing);
        }
        return encodes;
      };
      rank.begin_with({1, 1, false}, trial.inputs(1)[0]);
      rank.exchange.ready(1);
      EXPECT_EQ(encodes_so_far(), 0u) << "the third goes first, on all ranks";
      rank.exchange.ready(2);
      EXPECT_EQ(encodes_so_far(), overlap ? 2u : 0u);
      rank.exchange.ready(0);
      rank.exchange.finish();
      EXPECT_EQ(encodes, 3u);
    });
  }
}

struct Draws {
  std::set<uint64_t> own, shared;
  size_t encodes = 0;
};

// The first draws that a codec on this rank could make, over two rounds of two buckets.
std::vector<Draws> draws_of(const Modelled& codec) {
  constexpr int kRanks = 3;
  std::vector<Draws> draws(kRanks);
  test::run_ranks(kRanks, [&](comm::Transport& transport) {
    Draws& mine = draws[static_cast<size_t>(transport.world_rank())];
    Trial trial;
    trial.ranks = kRanks;
    const CodecPtr spy = std::make_shared<SpyCodec>(codec.codec, [&mine](const SpyCodec::Encoded& encoded) {
      ++mine.encodes;
      mine.own.insert(encoded.context.own.fork(encoded.layer.id).bits(0));
      mine.shared.insert(encoded.context.shared.bits(0));
    });
    trial.add("first", 50, {spy, codec.model});
    trial.add("second", 70, {spy, codec.model});
    trial.bucket_bytes = 4;
    Rank rank(transport, trial);
    for (const uint64_t step : {1, 2}) rank.round({step, 1, false}, trial.inputs(step)[static_cast<size_t>(rank.index())]);
  });
  return draws;
}

TEST(CodecSeam, GivesEveryEncodeDrawsOfItsOwnAndAllRanksTheSharedOnes) {
  for (const Modelled& codec : {none_codec(), topk_codec()}) {
    const auto draws = draws_of(codec);
    std::set<uint64_t> of_all_ranks;
    size_t encodes = 0;
    for (const Draws& of_rank : draws) {
      EXPECT_EQ(of_rank.shared.size(), 4u) << "one for each bucket and step";
      EXPECT_EQ(of_rank.shared, draws[0].shared);
      of_all_ranks.insert(of_rank.own.begin(), of_rank.own.end());
      encodes += of_rank.encodes;
    }
    EXPECT_EQ(of_all_ranks.size(), encodes) << "by rank, step, bucket, leg and layer";
  }
}

}  // namespace
}  // namespace thinwire::exchange
