#include "data/gzip.h"

#include <fmt/format.h>

#include "data_files.h"

namespace thinwire::data {
namespace {

using Gzip = DataFiles;

std::string unpacked(const std::string& path) {
  InputFile file(path);
  Pile pile{{}, 100'000'000};
  add_unpacked(file, pile);
  return as_text(pile.bytes);
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Gzip, UnpacksAllMembersOfAFile) {
  pack("a.gz", "first ");
  pack("a.gz", "second ");
  EXPECT_EQ(unpacked(pack("a.gz", "third")), "first second third");
}

TEST_F(Gzip, UnpacksMoreThanOnePieceOfInputAndOutput) {
  const std::string text = letters(1'500'000);
  EXPECT_EQ(unpacked(pack("letters.gz", text)), text);
  const std::string same(3'000'000, 'x');  // a few kB packed
  EXPECT_EQ(unpacked(pack("same.gz", same)), same);
}

TEST_F(Gzip, EveryTruncationIsAnErrorWithTheOffset) {
  const std::string whole = file_text(pack("whole.gz", "a short text, a short text"));
  for (size_t length = 1; length < whole.size(); ++length) {
    const std::string cut = write("cut.gz", whole.substr(0, length));
    expect_data_error([&] { unpacked(cut); }, {cut, "truncated", fmt::format("byte {}", length), "gzip -t"});
  }
}

TEST_F(Gzip, ATruncatedSecondMemberIsAnErrorToo) {
  pack("a.gz", letters(300'000));
  const std::string whole = file_text(pack("a.gz", letters(300'000)));
  const std::string cut = write("cut.gz", whole.substr(0, whole.size() - 9));
  expect_data_error([&] { unpacked(cut); }, {"truncated", fmt::format("byte {}", whole.size() - 9)});
}

TEST_F(Gzip, AFlippedBitOfTheDataIsFoundByTheChecksum) {
  std::string bytes = file_text(pack("whole.gz", letters(1000)));
  bytes[bytes.size() - 6] ^= 1;  // the trailer: four bytes of CRC-32, four of length
  const std::string damaged = write("damaged.gz", bytes);
  expect_data_error([&] { unpacked(damaged); }, {damaged, "corrupt", "data check", "byte", "gzip -t"});
}

TEST_F(Gzip, PlainTextWithAPackedNameIsNamedAsSuch) {
  const std::string plain = write("plain.gz", "this was never packed");
  expect_data_error([&] { unpacked(plain); }, {plain, "no gzip file", "header"});
}

TEST_F(Gzip, BytesBehindTheLastMemberAreAnError) {
  const std::string padded = write("padded.gz", file_text(pack("a.gz", "text")) + "left over");
  expect_data_error([&] { unpacked(padded); }, {padded, "corrupt"});
}

}  // namespace
}  // namespace thinwire::data
