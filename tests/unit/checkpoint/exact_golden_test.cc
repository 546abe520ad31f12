// Codings kept for ever: what was once written must decode. Whether the same bytes are still written depends on zstd's version, so only the
// one that was worked out by hand is compared both ways.
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>

#include "exact_support.h"

namespace thinwire::checkpoint::exact::testing {
namespace {

Bytes golden(const std::string& name) {
  const std::string path = std::string(THINWIRE_SOURCE_DIR) + "/tests/golden/checkpoint/" + name + ".hex";
  std::ifstream file(path);
  EXPECT_TRUE(file) << "cannot read " << path;
  std::string digits;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    for (const char c : line) {
      if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
    }
  }
  Bytes bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Numbers that need no library: a linear congruential generator (D. Knuth, MMIX), its upper bits.
class Numbers64 {
 public:
  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 40);  // 24 bits
  }

 private:
  uint64_t state_ = 1;
};

// Of 16 columns and 64 rows, about 2^-10 times a power of two for each row and column.
std::vector<float> matrix() {
  Numbers64 numbers;
  std::vector<float> values;
  for (int i = 0; i < 64 * 16; ++i) {
    const float fraction = 1 + static_cast<float>(numbers.next()) * 0x1p-24f;
    values.push_back(std::ldexp(fraction, i / 16 % 9 - i % 16 % 5 - 10));
  }
  return values;
}

// 512 rows of 16: each element has a size of its own between its row's and column's and 2^5 times that, which stays, and a sign and four
// bits of mantissa, which `generation` draws.
std::vector<float> drawn_matrix(int generation) {
  Numbers64 sizes, numbers;
  for (int i = 0; i < generation; ++i) numbers.next();
  std::vector<float> values;
  for (int i = 0; i < 512 * 16; ++i) {
    const int size = static_cast<int>(sizes.next() % 6) + 4 * (i / 16 % 9) - 4 * (i % 16 % 5) - 20;
    const float fraction = 1 + static_cast<float>(numbers.next() >> 20) / 16;
    values.push_back(std::ldexp(numbers.next() >> 23 == 0 ? fraction : -fraction, size));
  }
  return values;
}

std::vector<uint32_t> words_of(const std::vector<float>& values) {
  std::vector<uint32_t> words;
  for (const float value : values) words.push_back(std::bit_cast<uint32_t>(value));
  return words;
}

// Each float moved by -8 to 7 units of its last place.
std::vector<uint32_t> moved(std::vector<uint32_t> words) {
  Numbers64 numbers;
  for (uint32_t& word : words) word += numbers.next() % 16 - 8;
  return words;
}

// 4 elements, no rows, one chunk of 22 bytes. Rotated left by one: 1 = 3f800000 is 7f000000, -2.5 = c0200000 is 80400001, -0 is 00000001,
// the largest = 7f7fffff is fefffffe. Form 0, rotation 1, and four planes of form 1, each with a byte of every word: 00 01 01 fe | 00 00 00
// ff | 00 40 00 ff | 7f 80 00 fe. With so few bytes nothing but raw pays.
TEST(ExactGolden, OfFourFloats) {
  const Bytes bytes = to_bytes(std::vector<float>{1, -2.5, -0.0f, std::numeric_limits<float>::max()});
  const Bytes coded = golden("exact_four_floats");
  EXPECT_EQ(decode_one(coded, DType::f32, {}, bytes.size()), bytes);
  EXPECT_EQ(encode_one({DType::f32, 0, bytes, {}}), coded);
}

TEST(ExactGolden, OfAMatrixScaledByRowsAndColumns) {
  const Bytes bytes = to_bytes(matrix());
  EXPECT_EQ(decode_one(golden("exact_scaled"), DType::f32, {}, bytes.size()), bytes);
}

// As differences of version 5, and as the zigzags that were written before.
TEST(ExactGolden, OfASmallStep) {
  const auto earlier = words_of(matrix());
  const Bytes bytes = to_bytes(moved(earlier)), earlier_bytes = to_bytes(earlier);
  for (const char* name : {"exact_differences", "exact_grouped"}) {
    EXPECT_EQ(decode_one(golden(name), DType::f32, earlier_bytes, bytes.size()), bytes) << name;
  }
}

// Rows and columns of the earlier generation first, then groups: as first moments are.
TEST(ExactGolden, OfSizesThatStayRelativeToRowsAndColumns) {
  const Bytes bytes = to_bytes(drawn_matrix(3)), earlier_bytes = to_bytes(drawn_matrix(0));
  EXPECT_EQ(decode_one(golden("exact_relative"), DType::f32, earlier_bytes, bytes.size()), bytes);
}

TEST(ExactGolden, OfCountersThroughZstd) {
  std::vector<int64_t> counters;
  for (int64_t i = 0; i < 600; ++i) counters.push_back(i % 30 * 1000);
  const Bytes bytes = to_bytes(counters);
  EXPECT_EQ(decode_one(golden("exact_counters"), DType::i64, {}, bytes.size()), bytes);
}

}  // namespace
}  // namespace thinwire::checkpoint::exact::testing
