#include "base/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/error.h"

namespace thinwire::trace {
namespace {

using nlohmann::json;

class Trace : public testing::Test {
 protected:
  void TearDown() override {
    adopt(nullptr);
    std::filesystem::remove_all(path_.parent_path());
  }
  std::string text() const {
    std::ifstream in(path_);
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
  }
  std::vector<json> spans() const {
    std::vector<json> found;
    for (const json& event : json::parse(text())) {
      if (event.at("ph") == "X") found.push_back(event);
    }
    return found;
  }
  const std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) / ("thinwire-traces-" + std::to_string(getpid())) / "rank_00003.json";
};

TEST_F(Trace, HoldsWhatSpansMeasured) {
  double seconds = 0;
  adopt(std::make_shared<Recorder>(path_, 3));
  {
    Span outer(Lane::exposed, "wait for bucket", 7);
    Span inner(Lane::wire_tx, "all_gather");
    inner.moves(4096);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    inner.end();
    seconds = inner.end();
  }
  adopt(nullptr);
  const auto all = spans();
  ASSERT_EQ(all.size(), 2u) << "a span is recorded once";
  EXPECT_EQ(all[0].at("name"), "all_gather");
  EXPECT_EQ(all[0].at("cat"), "wire tx");
  EXPECT_EQ(all[0].at("pid"), 3);
  EXPECT_EQ(all[0].at("args").at("bytes"), 4096);
  EXPECT_NEAR(all[0].at("dur").get<double>(), seconds * 1e6, 0.1);
  EXPECT_GE(seconds, 0.003);
  EXPECT_EQ(all[1].at("name"), "wait for bucket 7");
  EXPECT_LE(all[1].at("ts").get<double>(), all[0].at("ts").get<double>() + 0.1);
  EXPECT_GE(all[1].at("dur").get<double>(), all[0].at("dur").get<double>());
}

TEST_F(Trace, GivesEachLaneOfEachThreadARowWithAName) {
  adopt(std::make_shared<Recorder>(path_, 0));
  Span(Lane::compute, "step").end();
  std::thread([recorder = current()] {
    adopt(recorder);
    set_thread(2);
    for (const Lane lane : {Lane::encode, Lane::decode, Lane::encode}) Span(lane, "bucket").end();
  }).join();
  adopt(nullptr);
  std::map<std::string, int> rows;
  std::vector<int> used;
  for (const json& event : json::parse(text())) {
    if (event.at("name") == "thread_name") rows[event.at("args").at("name")] = event.at("tid");
    if (event.at("ph") == "X") used.push_back(event.at("tid"));
  }
  EXPECT_THAT(rows, testing::UnorderedElementsAre(testing::Key("compute"), testing::Key("encode 2"), testing::Key("decode 2")));
  EXPECT_THAT(used, testing::ElementsAre(rows["compute"], rows["encode 2"], rows["decode 2"], rows["encode 2"]));
}

TEST_F(Trace, KeepsLongNamesShortAndManyEvents) {
  adopt(std::make_shared<Recorder>(path_, 0));
  for (int i = 0; i < 10000; ++i) Span(Lane::compute, "a name that is longer than what is kept of it", i).end();
  EXPECT_GT(text().size(), 4000u * 50) << "it does not wait for the end with all of them";
  adopt(nullptr);
  const auto all = spans();
  ASSERT_EQ(all.size(), 10000u);
  EXPECT_EQ(all[9].at("name").get<std::string>(), std::string("a name that is longer than what is kept of it").substr(0, 31));
}

TEST_F(Trace, NeedsNoRecorder) {
  Span span(Lane::compute, "step");
  EXPECT_GE(span.end(), 0);
}

TEST_F(Trace, SaysWhenItsFileCannotBeOpened) {
  try {
    Recorder("/proc/none/trace.json", 0);
    FAIL() << "it opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::other);
    EXPECT_THAT(e.what(), testing::HasSubstr("/proc/none/trace.json"));
  }
}

}  // namespace
}  // namespace thinwire::trace
