// Files for the tests of the data room: a directory that goes away with the test, plain and packed files in it, errors by key words.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/tokens.h"

namespace thinwire::data {

class DataFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(::testing::TempDir()) / (std::string(info->name()) + "." + std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string path(const std::string& name) const { return (root_ / name).string(); }

  std::string write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
    return path(name);
  }
  // Appends one gzip member to the file.
  std::string pack(const std::string& name, std::string_view text) const {
    gzFile file = gzopen(path(name).c_str(), "ab");
    EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
    gzclose(file);
    return path(name);
  }

 private:
  std::filesystem::path root_;
};

inline std::string as_text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
inline std::string as_text(const Tokens& bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) text.push_back(static_cast<char>(bytes[i]));
  return text;
}
inline std::vector<int32_t> as_ids(const Tokens& tokens) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < tokens.size(); ++i) ids.push_back(tokens[i]);
  return ids;
}

// Text of the given length without a period that a packer could make nothing of.
inline std::string letters(size_t num_bytes) {
  std::string text;
  uint32_t state = 1;
  while (text.size() < num_bytes) {
    state = state * 1664525 + 1013904223;
    text.push_back(static_cast<char>('a' + (state >> 24) % 26));
  }
  return text;
}

inline void expect_data_error(const std::function<void()>& run, std::initializer_list<std::string> key_words) {
  try {
    run();
    ADD_FAILURE() << "no DataError";
  } catch (const DataError& e) {
    EXPECT_EQ(static_cast<int>(e.code()), 3);
    for (const auto& word : key_words) EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << word << " is not in: " << e.what();
  }
}

}  // namespace thinwire::data
