// What is forecast of an exchange, held against exchanges: bytes as the driver counts them, memory by formula.
#include "exchange/traffic.h"

#include "compressors/sign/sign.h"
#include "compressors/topk/topk.h"
#include "exchange/footprint.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

std::vector<int> hosts_of(int ranks, int ranks_per_host) {
  std::vector<int> hosts;
  for (int rank = 0; rank < ranks; ++rank) hosts.push_back(rank / ranks_per_host);
  return hosts;
}

struct Sent {
  double compressed = 0, dense = 0;
};
// By rank 0, in a round of each kind.
Sent sent_by_rank_zero(const Trial& trial) {
  Sent sent;
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto round = [&](uint64_t step, bool dense) {
      const uint64_t before = rank.driver.counters().sent_bytes;
      rank.round({step, 1, dense}, trial.inputs(step)[static_cast<size_t>(rank.index())]);
      return static_cast<double>(rank.driver.counters().sent_bytes - before);
    };
    const double compressed = round(1, false), dense = round(2, true);
    if (rank.index() == 0) sent = {compressed, dense};
  });
  return sent;
}

void expect_forecast(Trial trial, int ranks, int ranks_per_host, double tolerance) {
  SCOPED_TRACE(std::to_string(ranks) + " ranks, " + std::to_string(ranks_per_host) + " a host");
  trial.ranks = ranks;
  if (ranks_per_host > 1) trial.node_of_rank = hosts_of(ranks, ranks_per_host);
  ExchangeOptions options;
  options.hierarchy = ranks_per_host > 1 ? "node" : "flat";
  const RoundTraffic forecast = traffic_of(trial.table(), peers_of(options, ranks, ranks_per_host));
  const Sent sent = sent_by_rank_zero(trial);
  EXPECT_NEAR(forecast.compressed.sent_bytes, sent.compressed, tolerance * sent.compressed);
  EXPECT_EQ(forecast.dense.sent_bytes, sent.dense);
}

Modelled unmodelled(CodecPtr codec) { return {std::move(codec), none_codec().model}; }

TEST(Traffic, IsWhatTheDriverCountsOfCodecsOfOneLength) {
  Trial trial;
  trial.add("dense", 1001, none_codec());
  trial.add("half", 301, bf16_codec());
  trial.add("sparse", 4096 + 160, topk_codec());
  trial.bucket_bytes = 2000;
  for (const int ranks : {1, 2, 3, 5}) expect_forecast(trial, ranks, 1, 0);
}

TEST(Traffic, IsWhatTheDriverCountsUnderAHierarchy) {
  Trial trial;
  trial.add("dense", 1000, none_codec());
  trial.add("sparse", 4096, topk_codec());
  for (const auto& [ranks, per_host] : {std::pair(4, 2), std::pair(6, 3), std::pair(3, 3), std::pair(8, 4)})
    expect_forecast(trial, ranks, per_host, 0);
}

TEST(Traffic, IsNearWhatTheDriverCountsOfCodecsWhoseLengthVaries) {
  Trial trial;
  trial.add("rice", 64 * 4096, unmodelled(std::make_shared<compressors::TopkCodec>(compressors::TopkOptions{.index_coding = "rice"})));
  trial.add("sign", 32 * 1024, unmodelled(std::make_shared<compressors::SignCodec>(compressors::SignOptions{})));
  trial.feedback.name = "none";
  expect_forecast(trial, 2, 1, 0.1);
}

TEST(Traffic, WaitsOncePerMessageThatFollowsAnother) {
  Trial trial;
  trial.add("dense", 1000, none_codec());
  trial.add("sparse", 4096, topk_codec());
  const auto round = traffic_of(trial.table(), {4, 1});
  EXPECT_EQ(round.compressed.waits, 2 + 1);  // a two-shot, a gather
  EXPECT_EQ(round.dense.waits, 2 + 2);
  EXPECT_EQ(traffic_of(trial.table(), {2, 1}).compressed.waits, 1 + 1);
}

TEST(Footprint, OfAGatherIsItsFramesAndTheResidual) {
  Trial trial;
  trial.add("sparse", 4096, topk_codec());
  const CompressOptions compress;  // ef14
  const Footprint kept = footprint_of(trial.table(), {}, compress, {3, 1});
  EXPECT_EQ(kept.values, 4 * 4096);
  EXPECT_EQ(kept.feedback, 4 * 4096);
  const double scratch = static_cast<double>(trial.slots[0].traits().scratch_bytes);
  EXPECT_EQ(kept.buffers, 3 * (kHeader + 897) + scratch);
  EXPECT_EQ(kept.schedule + kept.gradients + kept.sketches + kept.samples, 0);
}

TEST(Footprint, OfATwoShotIsWhatGoesOutAndComesInTwice) {
  Trial trial;
  trial.add("half", 1000, bf16_codec());
  CompressOptions compress;
  const Footprint kept = footprint_of(trial.table(), {}, compress, {4, 1});
  // Four frames out, room for four in, one combined; the sum of the own quarter in fp32. The owner owes a quarter of the elements.
  EXPECT_EQ(kept.buffers, 9 * (kHeader + 2 * 250) + 4 * 250);
  EXPECT_EQ(kept.feedback, 4 * 1000 + 4 * 250);
  const Footprint pair = footprint_of(trial.table(), {}, compress, {2, 1});  // whole payloads, and nobody owes
  EXPECT_EQ(pair.buffers, 2 * (kHeader + 2 * 1000));
  EXPECT_EQ(pair.feedback, 4 * 1000);
}

TEST(Footprint, OfLocalStepsIsTheAnchorAndWhatOuterMomentumAndDelayAdd) {
  Trial trial;
  trial.add("sparse", 4096, topk_codec());
  ExchangeOptions local;
  local.schedule = "local_steps";
  constexpr double kFlat = 4 * 4096;
  EXPECT_EQ(footprint_of(trial.table(), local, {}, {2, 1}).schedule, kFlat);
  local.outer.name = "nesterov";
  EXPECT_EQ(footprint_of(trial.table(), local, {}, {2, 1}).schedule, 2 * kFlat);
  local.delay = 1;
  EXPECT_EQ(footprint_of(trial.table(), local, {}, {2, 1}).schedule, 3 * kFlat);
  EXPECT_EQ(footprint_of(trial.table(), local, {}, {2, 1}).gradients, kFlat);
}

TEST(Footprint, OfEstimatesIsTwoFloatsAnElementAndOneMoreForMomentumOrResidual) {
  Trial trial;
  trial.add("sparse", 4096, topk_codec());
  CompressOptions compress;
  for (const auto& [name, floats] : {std::pair("ef21", 2), std::pair("ef21_sgdm", 3), std::pair("econtrol", 3), std::pair("none", 0)}) {
    compress.error_feedback.name = name;
    EXPECT_EQ(footprint_of(trial.table(), {}, compress, {2, 1}).feedback, floats * 4 * 4096) << name;
  }
  compress.error_feedback = {.name = "ef14", .state = "int8"};
  EXPECT_EQ(footprint_of(trial.table(), {}, compress, {2, 1}).feedback, 4096 + 4 * 4096 / 256);
}

}  // namespace
}  // namespace thinwire::exchange
