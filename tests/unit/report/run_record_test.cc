#include "report/run_record.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace thinwire::report {
namespace {

RunRecord read(const std::string& text) {
  RunRecord run;
  read_metrics(text, "metrics.jsonl", run);
  return run;
}

TEST(RunRecord, TimeIsThatOfAllStepsSinceTheFirst) {
  // Records at steps 1, 3 and 5, whose step_s are means over the steps between.
  const auto run = read(R"({"kind":"train","step":1,"loss":5.0,"step_s":2.0,"dense_bytes":100,"wire_bytes_tx_total":7}
{"kind":"train","step":3,"loss":4.0,"step_s":0.5}
{"kind":"train","step":5,"loss":3.0,"step_s":1.0,"dense_bytes":100}
)");
  ASSERT_EQ(run.train.size(), 3u);
  EXPECT_EQ(run.train[0].trained_s, 2.0);
  EXPECT_EQ(run.train[1].trained_s, 3.0);
  EXPECT_EQ(run.train[2].trained_s, 5.0);
  EXPECT_EQ(run.train[0].sent_bytes, 7);
  EXPECT_EQ(run.train[2].dense_bytes, 500);
}

TEST(RunRecord, OfAStepThatWasDoneTwiceTheLaterOneCounts) {
  const auto run = read(R"({"kind":"train","step":1,"loss":5.0,"step_s":1.0}
{"kind":"train","step":2,"loss":4.0,"step_s":1.0}
{"kind":"event","step":1,"event":"resume","detail":"from step 1"}
{"kind":"train","step":2,"loss":4.5,"step_s":3.0}
)");
  ASSERT_EQ(run.train.size(), 2u);
  EXPECT_EQ(run.train[1].loss, 4.5);
  EXPECT_EQ(run.train[1].trained_s, 4.0);
  ASSERT_EQ(run.events.size(), 1u);
  EXPECT_EQ(run.events[0].what, "resume");
}

TEST(RunRecord, TakesAnyMetricAndTheNewestLayers) {
  const auto run = read(R"({"kind":"eval","step":4,"val_loss":0.5,"val_accuracy":0.75}
{"kind":"layers","step":2,"layers":[{"name":"old","codec":"none"}]}
{"kind":"layers","step":4,"layers":[{"name":"w","codec":"sign","elems":64,"payload_bytes":12,"error":0.25,"residual_norm":2},{"name":"b","codec":"none","error":null}]}
)");
  EXPECT_EQ(run.metric_name, "val_accuracy");
  EXPECT_EQ(run.evals.at(0).metric, 0.75);
  ASSERT_EQ(run.layers.size(), 2u);
  EXPECT_EQ(run.layers[0].payload_bytes, 12);
  EXPECT_EQ(run.layers[0].error, 0.25);
  EXPECT_FALSE(run.layers[1].error.has_value());
  EXPECT_EQ(run.layers_step, 4);
}

TEST(RunRecord, ALastLineThatIsCutOffIsLeftOutInSilence) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(read("{\"kind\":\"train\",\"step\":1,\"loss\":5.0}\n{\"kind\":\"tra").train.size(), 1u);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(RunRecord, OtherLinesThatAreNoRecordsAreLeftOutAndNamed) {
  const std::string good = "{\"kind\":\"train\",\"step\":1,\"loss\":5.0}\n", torn = "{\"kind\":\"tra{\"kind\":\"eval\"}\n";
  const auto warning_of = [](const std::string& text) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(read(text).train.size(), 1u);
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_NE(warning_of(torn + good).find("metrics.jsonl: line 1 is no JSON object"), std::string::npos);
  EXPECT_NE(warning_of(torn + good + torn + "{}\n").find("lines 1, 3 are no JSON object"), std::string::npos);
  std::string many = good;
  for (int i = 0; i < 12; ++i) many += torn;
  EXPECT_NE(warning_of(many).find("lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more are no JSON object"), std::string::npos);
}

TEST(RunRecord, AFileWithoutARecordIsRefused) {
  try {
    read("\nnonsense\n");
    FAIL() << "garbage was taken for a run";
  } catch (const CorruptData& e) {
    EXPECT_NE(std::string(e.what()).find("metrics.jsonl:1"), std::string::npos) << e.what();
  }
}

TEST(RunRecord, WrongTypesAndNotANumberAreLeftOut) {
  const auto run = read(R"({"kind":"train","step":1,"loss":null,"step_s":1.0}
{"kind":"train","step":2,"loss":"high"}
{"kind":"layers","step":2,"layers":[7,{"name":3}]}
{"kind":5}
)");
  EXPECT_TRUE(run.train.empty());
  EXPECT_EQ(run.layers.size(), 1u);
}

TEST(RunRecord, WhatIsNoRunIsRefused) { EXPECT_THROW(read_run("/nonexistent/run"), ConfigError); }

}  // namespace
}  // namespace thinwire::report
