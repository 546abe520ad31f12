#include "trainer/event_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "tests/support/small_files.h"

namespace thinwire::trainer {
namespace {

namespace fs = std::filesystem;

constexpr double kTime_s = 1.7e9;

std::string hex(std::string_view bytes) {
  std::string digits;
  for (const char b : bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(b));
  return digits;
}

class EventFiles : public testing::Test {
 protected:
  EventFiles() { fs::remove_all(directory_); }
  ~EventFiles() override { fs::remove_all(directory_); }

  std::string contents() const {
    const auto entry = fs::directory_iterator(directory_)->path();
    EXPECT_TRUE(entry.filename().string().starts_with("events.out.tfevents.1700000000."));
    std::ostringstream text;
    text << std::ifstream(entry, std::ios::binary).rdbuf();
    return text.str();
  }

  const fs::path directory_ = fs::path(testing::TempDir()) / fmt::format("event_file_test_{}", getpid()) / "tb";
};

// Both records were computed apart from this code, from the format.
constexpr const char* kVersionRecord = "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d";
constexpr const char* kScalarRecord = "200000000000000029eda9500900000040fc54d94110012a130a110a0a747261696e2f6c6f737315000020402fffcccc";

TEST_F(EventFiles, AreTheBytesOfTheFormat) {
  EventFile file(directory_, kTime_s, 1);
  const Scalar loss[] = {{"train/loss", 2.5f}};
  file.scalars(kTime_s, 1, loss);
  EXPECT_EQ(hex(contents()), std::string(kVersionRecord) + kScalarRecord);
}

// A reader finds a record by the lengths of those before it.
TEST_F(EventFiles, HaveWholeRecordsAloneWhateverADiskRefused) {
  const Scalar loss[] = {{"train/loss", 2.5f}}, other[] = {{"train/loss", 7.5f}};
  for (const rlim_t room : {10, 40, 60}) {  // less than the first record, that one, half of another
    fs::remove_all(directory_);
    std::optional<EventFile> file;
    {
      const test::SmallFiles small(room);
      file.emplace(directory_, kTime_s, 1);
      file->scalars(kTime_s, 1, other);
    }
    file->scalars(kTime_s, 1, loss);
    EXPECT_EQ(hex(contents()), std::string(kVersionRecord) + kScalarRecord) << room;
  }
}

TEST_F(EventFiles, OfAResumedRunSayFromWhere) {
  const EventFile file(directory_, kTime_s, 101);
  const std::string restart = hex(contents()).substr(std::string(kVersionRecord).size());
  // step 101, then session_log (field 7) with status (field 1) START (1)
  EXPECT_EQ(restart.substr(24, 30), "0900000040fc54d94110653a020801");
}

TEST_F(EventFiles, ThatCannotBeMadeAreAnError) {
  fs::create_directories(directory_.parent_path());
  std::ofstream(directory_) << "a file";
  EXPECT_THROW(EventFile(directory_, kTime_s, 1), Error);
}

}  // namespace
}  // namespace thinwire::trainer
