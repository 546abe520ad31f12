#include "report/page.h"

#include <gtest/gtest.h>

#include "report/sections.h"

namespace thinwire::report {
namespace {

RunRecord run(const std::string& name) {
  RunRecord r;
  r.name = name;
  r.world = 2;
  r.steps = 10;
  r.transport = "mpi";
  r.device = "cpu";
  r.config = {{"compress.codec", "sign"}, {"exchange.schedule", "local_steps"}, {"exchange.every", "5"}};
  TrainPoint point;
  point.step = 10;
  point.loss = 2;
  point.trained_s = 4;
  point.sent_bytes = 1000;
  point.dense_bytes = 25000;
  point.step_s = 0.4;
  point.forward_backward_s = 0.3;
  point.exposed_comm_s = 0.05;
  point.optimizer_s = 0.03;
  r.train = {point};
  r.evals = {{10, 1.9, 2.75}};
  r.metric_name = "val_bpb";
  r.layers = {{"w", "sign", 64, 12, 0.25, 2}};
  r.events = {{10, "done", "val_bpb 2.75"}};
  return r;
}

TEST(Page, SaysWhatARunCost) {
  const std::string page = make_page({run("one")});
  EXPECT_NE(page.find("val_bpb 2.7500"), std::string::npos);
  EXPECT_NE(page.find(">25.0<"), std::string::npos);  // 25000 / 1000
  EXPECT_NE(page.find("sign, updates of 5 steps"), std::string::npos);
  EXPECT_NE(page.find(">1.50<"), std::string::npos);         // bits each: 8 * 12 / 64
  EXPECT_NE(page.find("> 25.0%<"), std::string::npos);       // error
  EXPECT_NE(page.find("the rest 20ms"), std::string::npos);  // 0.4 - 0.3 - 0.05 - 0.03
}

TEST(Page, SaysWhetherTheLastCheckpointWasSaved) {
  RunRecord ended = run("one");
  ended.events = {{5, "checkpoint_failed", "full"}, {10, "checkpoint", ""}, {10, "done", ""}};
  EXPECT_EQ(make_page({ended}).find("was not saved"), std::string::npos);
  std::swap(ended.events[0], ended.events[1]);
  EXPECT_NE(make_page({ended}).find("done, but its last checkpoint was not saved"), std::string::npos);
}

TEST(Page, NeedsNoNetworkAndNoScript) {
  const std::string page = make_page({run("one"), run("two")});
  for (const char* word : {"<script", "http:", "https:", "src=", "@import", "url(//"})
    EXPECT_EQ(page.find(word), std::string::npos) << word;
}

TEST(Page, TextFromFilesIsEscaped) {
  RunRecord evil = run("<script>alert(1)</script>");
  evil.config["data.files"] = "\"><img onerror=x>";
  evil.layers[0].name = "<b>";
  evil.events[0].detail = "</li><script>";
  evil.metric_name = "val_<i>";
  evil.transport = "<u>";
  const std::string page = make_page({evil});
  for (const char* word : {"<script", "<img", "<b>", "<i>", "<u>"}) EXPECT_EQ(page.find(word), std::string::npos) << word;
}

TEST(Page, ComparesOnlyWhatDiffers) {
  RunRecord a = run("a"), b = run("b");
  b.config["exchange.every"] = "30";
  const std::string table = differences({a, b});
  EXPECT_NE(table.find("exchange.every"), std::string::npos);
  EXPECT_EQ(table.find("compress.codec"), std::string::npos);
}

TEST(Page, SaysHowARunEnded) {
  RunRecord stopped = run("s");
  stopped.events = {{7, "stopped", "signal 10"}};
  EXPECT_NE(runs_table({stopped}).find("stopped at step 7"), std::string::npos);
  stopped.events.push_back({7, "resume", "from step 7"});
  EXPECT_NE(runs_table({stopped}).find("at step 10 when last heard of"), std::string::npos);
}

TEST(Page, OfARunWithoutARecordIsAPage) {
  RunRecord empty;
  empty.name = "new";
  EXPECT_NE(make_page({empty}).find("no step yet"), std::string::npos);
}

TEST(Page, SameRunsGiveTheSameBytes) { EXPECT_EQ(make_page({run("a")}), make_page({run("a")})); }

}  // namespace
}  // namespace thinwire::report
