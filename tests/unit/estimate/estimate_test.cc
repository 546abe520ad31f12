// Figures of runs that can be worked out by hand.
#include <gmock/gmock.h>

#include "compressors/topk/topk.h"
#include "estimate/disk.h"
#include "estimate/memory.h"
#include "estimate/time.h"

namespace thinwire::estimate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kElems = 4096 * 1000;

exchange::SlotTable one_slot(const std::shared_ptr<const compressors::Compressor>& codec) {
  return exchange::SlotTable({{.name = "weight", .rows = 1000, .cols = 4096, .codec = codec, .text = "one"}}, 4'000'000);
}

Subject subject(const std::shared_ptr<const compressors::Compressor>& codec, int ranks = 2) {
  Subject s{.model = {}, .pass = {}, .table = one_slot(codec), .exchange = {}, .compress = {}, .checkpoint = {}, .data = {}};
  s.model.layers = 1;
  s.pass.samples = 1;
  s.steps = 100;
  s.ranks = ranks;
  s.base_bytes = 1e8;
  s.checkpoint.every = 0;
  return s;
}
Subject dense(int ranks = 2) { return subject(compressors::CodecChoice().make(), ranks); }
Subject sparse(int ranks = 2) { return subject(std::make_shared<compressors::TopkCodec>(compressors::TopkOptions{}), ranks); }

double bytes_of(const Memory& memory, const std::string& name) {
  for (const Part& part : memory.parts) {
    if (part.name == name) return part.bytes;
  }
  return 0;
}

TEST(Wire, OfGradientsInFp32IsThatOfARingAllReduceAndFrames) {
  const Wire wire = wire_of(dense());
  EXPECT_EQ(wire.dense_step_bytes, 4 * kElems);  // 8 n (N - 1) / N
  EXPECT_NEAR(wire.step_bytes, wire.dense_step_bytes, 200);
  EXPECT_NEAR(wire.run_bytes, 100 * wire.dense_step_bytes, 100 * 200);
}

TEST(Wire, OfLocalStepsIsARoundEveryFewSteps) {
  Subject s = sparse();
  s.exchange.schedule = "local_steps";
  s.exchange.every = 8;
  s.compress.start = {config::Amount::Unit::steps, 16};
  const Wire wire = wire_of(s);
  EXPECT_EQ(wire.rounds, 13);  // 12, and the rest of 4 steps at the end
  EXPECT_EQ(wire.dense_rounds, 2);
  EXPECT_EQ(wire.round.compressed.sent_bytes, 56 + 897 * 1000);
  EXPECT_EQ(wire.step_bytes, wire.round.compressed.sent_bytes / 8);
  EXPECT_EQ(wire.run_bytes, 2 * wire.round.dense.sent_bytes + 11 * wire.round.compressed.sent_bytes);
}

TEST(Wire, OfOneRankIsNothing) {
  const Wire wire = wire_of(sparse(1));
  EXPECT_EQ(wire.run_bytes, 0);
  EXPECT_EQ(wire.dense_step_bytes, 0);
}

TEST(StepTimes, AddTheWireToComputationWhereNothingHidesIt) {
  Subject s = sparse();
  s.exchange.schedule = "local_steps";
  s.exchange.every = 10;
  s.micro_batches = 4;
  const Speed speed{.pass_s = 0.1, .optimizer_s = 0.05, .codec_s = 0.2};
  const StepTime time = step_time(s, wire_of(s), speed, {1e6, 0.5});
  const double round_s = 8 * (56.0 + 897 * 1000) / 1e6 + 0.5;
  EXPECT_DOUBLE_EQ(time.compute_s, 0.45);
  EXPECT_DOUBLE_EQ(time.wire_s, round_s / 10);
  EXPECT_DOUBLE_EQ(time.exposed_s, (round_s + 0.2) / 10);
}

TEST(StepTimes, HideARoundBehindTheStepsOfItsDelay) {
  Subject s = sparse();
  s.exchange.schedule = "local_steps";
  s.exchange.every = 10;
  s.exchange.delay = 2;
  const Speed speed{.pass_s = 1};
  EXPECT_EQ(step_time(s, wire_of(s), speed, {1e8, 0}).exposed_s, 0);
  const double round_s = 8 * (56.0 + 897 * 1000) / 1e6;
  EXPECT_DOUBLE_EQ(step_time(s, wire_of(s), speed, {1e6, 0}).exposed_s, (round_s - 2) / 10);
}

TEST(StepTimes, OfPlainParallelismShrinkWithTheLinkUntilTheLastBucket) {
  const Subject s = dense();
  const Wire wire = wire_of(s);
  const Speed speed{.pass_s = 3};
  const double at_10_mbit = plain_step_time(s, wire, speed, {1e7, 0}).step_s(), wire_s = 8 * 4 * kElems / 1e7;
  EXPECT_DOUBLE_EQ(at_10_mbit, 3 + wire_s);  // one bucket: backward hides nothing
  EXPECT_NEAR(plain_step_time(s, wire, speed, {1e12, 0}).step_s(), 3, 1e-3);
}

TEST(StepTimes, OfRanksThatShareAHostCountWhatLeavesIt) {
  Subject s = dense(4);
  s.ranks_per_host = 2;
  const Wire wire = wire_of(s);
  const double leaving = wire.round.compressed.sent_bytes * 2 * 2 / 3;  // two ranks, two of whose three peers are elsewhere
  EXPECT_NEAR(step_time(s, wire, {}, {1e6, 0}).wire_s, leaving * 8 / 1e6, 1e-6);
  s.ranks_per_host = 4;  // no link is crossed, and none has a latency
  EXPECT_FALSE(s.crosses_links());
  EXPECT_EQ(step_time(s, wire, {}, {1e6, 1}).wire_s, 0);
  EXPECT_EQ(plain_step_time(s, wire, {}, {1e6, 1}).wire_s, 0);
  s.ranks_per_host = 8;
  EXPECT_EQ(step_time(s, wire, {}, {1e6, 1}).step_s(), 0);
}

TEST(Memory, HasFourFloatsAParameterForAdamWAndOneMoreForTheResidual) {
  const Memory memory = memory_of(sparse());
  EXPECT_EQ(bytes_of(memory, "weights"), 4 * kElems);
  EXPECT_EQ(bytes_of(memory, "gradients"), 4 * kElems);
  EXPECT_EQ(bytes_of(memory, "optimizer state"), 8 * kElems);
  EXPECT_EQ(bytes_of(memory, "residuals and estimates"), 4 * kElems);
  EXPECT_EQ(bytes_of(memory, "checkpoint snapshot"), 0);
  EXPECT_EQ(memory.process_bytes, 1e8 + memory.rank_bytes);
}

TEST(Memory, HasACopyOfTheStateWhereSavesRunBesideTraining) {
  Subject s = sparse();
  s.checkpoint.every = 10;
  EXPECT_EQ(bytes_of(memory_of(s), "checkpoint snapshot"), 16 * kElems);  // weights, two moments, the residual
  s.checkpoint.async = false;
  EXPECT_EQ(bytes_of(memory_of(s), "checkpoint snapshot"), 0);
}

TEST(Memory, OfThreadsIsThatOfOneProcess) {
  Subject s = sparse(4);
  s.ranks_per_process = s.ranks_per_host = 4;
  const Memory memory = memory_of(s);
  EXPECT_EQ(memory.process_bytes, 1e8 + 4 * memory.rank_bytes);
  EXPECT_EQ(memory.host_bytes, memory.process_bytes);
  s.ranks_per_process = 1;
  EXPECT_EQ(memory_of(s).host_bytes, 4 * memory_of(s).process_bytes);
}

TEST(Memory, RefusesWithTheEstimateWhatThereIsTheLargestPartsAndThreeKnobs) {
  const Memory memory = memory_of(sparse());
  EXPECT_EQ(why_not_fit(memory, {.bytes = memory.process_bytes, .limit = "free memory"}, 0), "");
  EXPECT_THAT(why_not_fit(memory, {.bytes = 1e7, .limit = "free memory of this host"}, 0),
              AllOf(HasSubstr("out of memory"), HasSubstr("10.00MB"), HasSubstr("free memory of this host"), HasSubstr("optimizer state"),
                    HasSubstr("model.layers, model.d_model"), HasSubstr("optim.name: sgd"), HasSubstr("thinwire estimate")));
  // What is resident already is not asked for again.
  EXPECT_EQ(why_not_fit(memory, {.bytes = memory.rank_bytes, .limit = "free memory"}, 1e8), "");
}

TEST(Disk, HoldsWhatRanksHaveAlikeOnceAndTheirOwnEach) {
  Subject s = sparse(3);
  s.checkpoint.mode = "raw";
  EXPECT_EQ(disk_of(s).checkpoint_bytes, 12 * kElems + 3 * 4 * kElems);  // weights and moments; residuals
  s.exchange.schedule = "local_steps";
  s.exchange.every = 5;
  s.checkpoint.every = 10;
  EXPECT_EQ(disk_of(s).checkpoint_bytes, 4 * kElems + 3 * 8 * kElems + 3 * 4 * kElems + 4 * kElems);  // moments of each rank; the anchor
}

}  // namespace
}  // namespace thinwire::estimate
