// Payloads worked out by hand and kept for ever: what was once written must decode, and is still written. And what each codec costs in
// bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

std::ifstream golden(const std::string& path) {
  std::ifstream file(std::string(THINWIRE_SOURCE_DIR) + "/tests/golden/" + path);
  EXPECT_TRUE(file) << "cannot read tests/golden/" << path;
  return file;
}

Payload golden_payload(const std::string& name) {
  std::ifstream file = golden("payloads/" + name + ".hex");
  std::string digits;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::ranges::copy_if(line, std::back_inserter(digits), [](unsigned char c) { return std::isxdigit(c) != 0; });
  }
  Payload payload;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) payload.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return payload;
}

void expect_both_ways(const Variant& variant, const std::vector<float>& input, const std::vector<float>& decoded) {
  const auto codec = make(variant);
  const Layer layer = layer_of(input.size());
  const Payload payload = golden_payload(variant.codec);
  EXPECT_EQ(encode(*codec, layer, input).payload, payload);
  EXPECT_EQ(decode(*codec, layer, payload), decoded);
}

constexpr float kLargest = std::numeric_limits<float>::max();

// 1 = 3f800000, -2.5 = -1.25 * 2^1 = c0200000, -0 = 80000000, the largest = 7f7fffff; little-endian.
TEST(GoldenPayload, OfNone) { expect_both_ways({"none", {}}, {1, -2.5, -0.0f, kLargest}, {1, -2.5, 0, kLargest}); }

// The high halves of the above. 1 + 2^-8 lies midway between 3f80 and 3f81: even is 3f80. 1 + 3 * 2^-8 midway between 3f81 and 3f82: 3f82.
TEST(GoldenPayload, OfBf16) {
  expect_both_ways({"bf16", {}}, {1, -2.5, 1 + 0x1p-8f, 1 + 3 * 0x1p-8f, -0.0f, kLargest}, {1, -2.5, 1, 1 + 0x1p-6f, 0, 0x1.fep127f});
}

// Chunks of 8, 37.5 %. Chunk 0: round(3) = 3 kept: -3 at 1, 3 at 3, -2 at 5. The largest is 1.5 * 2^1, so e = 1 - 14 = -13 = f3; the halves
// are -3, 3, -2 times 2^13 = -24576, 24576, -16384. 24576 = 1.5 * 2^14: exponent field 14 + 15 = 29, mantissa 0x200: 29 << 10 | 0x200 =
// 7600; 16384 = 7400. Indices 1 and 3: 01, then 3 << 4 = 30, then 00; 5 alone: 05 00. Chunk 1: round(0.75) = 1 of 2: 6 = 1.5 * 2^2 at 1, e
// = 2 - 14 = f4, half 7600 again.
TEST(GoldenPayload, OfTopk) {
  expect_both_ways({"topk", {"density=37.5%", "chunk=8"}}, {1, -3, 0.5, 3, 0, -2, 0.25, -1, 0, 6}, {0, -3, 0, 3, 0, -2, 0, 0, 0, 6});
}

// The formulas of docs/formats/payload.md.
size_t bytes_by_formula(const std::string& codec, double density, size_t chunk, size_t elems) {
  if (codec == "none" || codec == "skeleton") return 4 * elems;
  if (codec == "bf16") return 2 * elems;
  const auto block = [&](size_t length) {
    const size_t kept = std::max<size_t>(1, static_cast<size_t>(std::floor(density * static_cast<double>(length) + 0.5)));
    return 1 + 2 * kept + (3 * kept + 1) / 2;
  };
  size_t bytes = 0;
  for (size_t begin = 0; begin < elems; begin += chunk) bytes += block(std::min(chunk, elems - begin));
  return bytes;
}

TEST(BytesPerParameter, AreTheCommittedOnes) {
  std::ifstream table = golden("bytes_per_param.csv");
  std::string line;
  std::getline(table, line);
  ASSERT_EQ(line, "codec,options,elems,bytes");
  int rows = 0;
  for (; std::getline(table, line); ++rows) {
    SCOPED_TRACE(line);
    std::istringstream cells(line);
    Variant variant;
    std::string options, elems, bytes;
    std::getline(std::getline(std::getline(std::getline(cells, variant.codec, ','), options, ','), elems, ','), bytes);
    double density = 0.0625;
    size_t chunk = 4096;
    std::istringstream words(options);
    for (std::string word; words >> word; variant.options.push_back(word)) {
      if (word.starts_with("density=")) density = std::stod(word.substr(8)) / 100;
      if (word.starts_with("chunk=")) chunk = std::stoul(word.substr(6));
    }
    const size_t expected = std::stoul(bytes), count = std::stoul(elems);
    EXPECT_EQ(bytes_by_formula(variant.codec, density, chunk, count), expected);
    EXPECT_EQ(make(variant)->traits(layer_of(count)).exact_bytes, expected);
  }
  EXPECT_GT(rows, 10);
}

}  // namespace
}  // namespace thinwire::compressors
