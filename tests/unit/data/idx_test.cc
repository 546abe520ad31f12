#include "data/idx.h"

#include "data_files.h"

namespace thinwire::data {
namespace {

using Idx = DataFiles;

std::string u32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16 & 255), static_cast<char>(value >> 8 & 255),
          static_cast<char>(value & 255)};
}
std::string header(std::initializer_list<uint32_t> sizes) {
  std::string bytes = {0, 0, 8, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) bytes += u32(size);
  return bytes;
}

TEST_F(Idx, IsReadInRowMajorOrder) {
  const IdxBytes idx = read_idx(pack("a.gz", header({2, 1, 3}) + "abcxyz"), 3);
  EXPECT_EQ(idx.sizes, (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ(as_text(idx.values), "abcxyz");
}

TEST_F(Idx, SizesAreBigEndian) {
  const std::string text = letters(0x0102);
  EXPECT_EQ(as_text(read_idx(pack("a.gz", std::string("\0\0\x08\x01\0\0\x01\x02", 8) + text), 1).values), text);
}

TEST_F(Idx, AnotherTypeRankOrFormatIsRefusedWithBothBeginnings) {
  expect_data_error([&] { read_idx(pack("float.gz", std::string("\0\0\x0d\x01", 4) + u32(1) + "x"), 1); },
                    {path("float.gz"), "00 00 0d 01", "00 00 08 01"});
  expect_data_error([&] { read_idx(pack("rank.gz", header({2, 2}) + "xxxx"), 1); }, {path("rank.gz"), "00 00 08 02", "00 00 08 01"});
  expect_data_error([&] { read_idx(pack("text.gz", "neither more nor less than text"), 3); }, {path("text.gz"), "6e 65 69 74"});
}

TEST_F(Idx, MoreAndFewerValuesThanTheHeaderSaysAreRefused) {
  expect_data_error([&] { read_idx(pack("short.gz", header({2, 3}) + "abcde"), 2); }, {path("short.gz"), "2 x 3", "5 bytes follow"});
  expect_data_error([&] { read_idx(pack("long.gz", header({2, 3}) + "abcdefg"), 2); }, {path("long.gz"), "2 x 3", "7 bytes follow"});
}

TEST_F(Idx, EveryTruncationIsRefused) {
  const std::string whole = header({1, 2, 2}) + "abcd";
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string name = std::to_string(length) + ".gz";
    expect_data_error([&] { read_idx(pack(name, whole.substr(0, length)), 3); }, {path(name)});
  }
}

TEST_F(Idx, SizesWhoseProductOverflowsAreRefused) {
  const uint32_t huge = 0xffffffff;  // huge cubed is beyond 64 bits
  expect_data_error([&] { read_idx(pack("huge.gz", header({huge, huge, huge}) + "x"), 3); }, {path("huge.gz"), "1 bytes follow"});
  const uint32_t power = 1u << 31;  // of three of these nothing is left modulo 2^64
  expect_data_error([&] { read_idx(pack("power.gz", header({power, power, 4})), 3); }, {path("power.gz"), "0 bytes follow"});
  expect_data_error([&] { read_idx(pack("none.gz", header({huge, 0, 1})), 3); }, {path("none.gz"), "0"});
}

TEST_F(Idx, WhatIsNotPackedOrIsDamagedIsRefused) {
  expect_data_error([&] { read_idx(write("plain.gz", header({1}) + "x"), 1); }, {path("plain.gz"), "gzip"});
  expect_data_error([&] { read_idx(path("absent.gz"), 1); }, {path("absent.gz"), "does not exist"});
}

}  // namespace
}  // namespace thinwire::data
