// Payloads worked out by hand and kept for ever: what was once written must decode, and is still written. And what each codec costs in
// bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
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

void expect_both_ways(const Variant& variant, const std::vector<float>& input, const std::vector<float>& decoded,
                      const std::string& name = "") {
  const auto codec = make(variant);
  const Layer layer = layer_of(input.size());
  const Payload payload = golden_payload(name.empty() ? variant.codec : name);
  EXPECT_EQ(encode(*codec, layer, input).payload, payload);
  EXPECT_EQ(decode(*codec, layer, payload), decoded);
}

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

// One chunk of 12: round(6) = 6 kept: 4 at 1, -4 at 2, 2 at 4, -2 at 6, 3 at 7, -3 at 9. Mean 0, sigma = sqrt(58 / 5) = 3.406, scale = 6 /
// 4 sigma = 5.109; over it, plus 2: 2.78, 1.22, 2.39, 1.61, 2.59, 1.41, so the codes 3 1 2 2 3 1, and the means 0, -3.5, 0 (2 and -2), 3.5.
// Half are kept: r = 0; the gaps 1 0 1 1 0 1 are 01 1 01 01 1 01. By lowest bit first: 01101011 = d6, 01|111001 = 9e, 011110 = 1e.
TEST(GoldenPayload, OfSparseLoco) {
  expect_both_ways({"sparseloco", {"k=2048"}}, {0.5, 4, -4, 0, 2, 1, -2, 3, 0, -3, 0.25, -1},
                   {0, 3.5, -3.5, 0, 0, 0, 0, 3.5, 0, -3.5, 0, 0});
}

// The formulas of docs/formats/payload.md, of a vector with packed positions.
size_t sparseloco_bytes(const std::vector<std::string>& options, size_t elems) {
  size_t k = 64, bits = 2, kept = 0;
  for (const std::string& option : options) {
    if (option.starts_with("k=")) k = std::stoul(option.substr(2));
    if (option.starts_with("bits=")) bits = std::stoul(option.substr(5));
  }
  for (size_t begin = 0; begin < elems; begin += 4096) {
    kept +=
        std::max<size_t>(1, static_cast<size_t>(std::floor(static_cast<double>(std::min<size_t>(4096, elems - begin) * k) / 4096 + 0.5)));
  }
  const size_t bins = size_t{1} << bits;
  return kept > bins ? 4 * bins + (kept * (12 + bits) + 7) / 8 : 4 * kept + (12 * kept + 7) / 8;
}

// The largest is 3 = 1.5 * 2^1: e = 1 - 14 = -13 = f3. Times 2^13: 1 = 8192 = 2^13 is 7000; -3 f600; 0.5 6c00; 3 7600. 1 + 2^-11 is midway
// between the halves 7000 and 7001: even is 7000.
TEST(GoldenPayload, OfFp16) { expect_both_ways({"fp16", {}}, {1, -3, 0.5, 3, 1 + 0x1p-11f}, {1, -3, 0.5, 3, 1}); }

// Bucket 0 from -1 = bf800000 to 2.75 = 40300000: 15 steps of 0.25. In steps above -1: 0, 15, 4, 6, 4.5 up to 5, 3.5 up to 4, 9.6 to 10,
// 0.4 to 0. The first of two takes the low half of a byte: f0 64 45 0a. Bucket 1 is 5 = 40a00000 throughout.
TEST(GoldenPayload, OfQuantize) {
  expect_both_ways({"quantize", {"bucket=8"}}, {-1, 2.75, 0, 0.5, 0.125, -0.125, 1.4f, -0.9f, 5, 5, 5},
                   {-1, 2.75, 0, 0.5, 0.25, 0, 1.5, -1, 5, 5, 5});
}

// The norm of 3, -4, 0 is 5 = 40a00000; three levels of 5/3 on either side. 3 is 1.8 of them: 2, sent as 2 + 3 = 5; -4 is -2.4: -2, sent
// as 1; 0 as 3. Bits: 5 + (1 << 3) + (3 << 6) = 00cd.
TEST(GoldenPayload, OfQuantizeToTheNorm) {
  const auto codec = make({"quantize", {"scheme=qsgd", "bits=3"}});
  const Payload payload = golden_payload("quantize_qsgd");
  EXPECT_EQ(encode(*codec, layer_of(3), {3, -4, 0}).payload, payload);
  EXPECT_EQ(decode(*codec, layer_of(3), payload), (std::vector<float>{static_cast<float>(10.0 / 3), static_cast<float>(-10.0 / 3), 0}));
}

// Block 0: the magnitudes sum to 16, the mean is 2 = 40000000; negative are 1, 3, 5, 7: aa. Block 1: 3 and -1 are not 0, the mean is 2,
// with the sign bit c0000000; zeros at 0, 2, 3, 4, 6, 7: dd; negative is 5: 20. Block 2 is the scale 0.
TEST(GoldenPayload, OfSign) {
  expect_both_ways({"sign", {"block=8"}}, {1, -2, 3, -4, 0.5, -0.5, 1, -4, 0, 3, -0.0f, 0, 0, -1, 0, 0, 0, -0.0f},
                   {2, -2, 2, -2, 2, -2, 2, -2, 0, 2, 0, 0, 0, -2, 0, 0, 0, 0});
}

// Of bucketed codecs: a header and some bits an element, buckets filled up to bytes.
size_t bucketed_bytes(size_t elems, size_t bucket, size_t header_bytes, size_t bits) {
  size_t bytes = 0;
  for (size_t begin = 0; begin < elems; begin += bucket) bytes += header_bytes + (std::min(bucket, elems - begin) * bits + 7) / 8;
  return bytes;
}
size_t bucketed_bytes(const Variant& variant, size_t elems) {
  if (variant.codec == "fp16") return bucketed_bytes(elems, 4096, 1, 16);
  size_t bucket = 1024, bits = variant.codec == "sign" ? 1 : 4, header_bytes = variant.codec == "sign" ? 4 : 8;
  for (const std::string& option : variant.options) {
    if (option.starts_with("b")) (option.starts_with("bits=") ? bits : bucket) = std::stoul(option.substr(option.find('=') + 1));
    if (option == "scheme=qsgd") header_bytes = 4;
  }
  return bucketed_bytes(elems, bucket, header_bytes, bits);
}
bool is_bucketed(const std::string& codec) { return codec == "fp16" || codec == "quantize" || codec == "sign"; }

// 30 % of 10: -5 at 2, 3 at 3, -4 at 9. The largest is 1.25 * 2^2: e = 2 - 14 = f4; times 2^12: -20480 = -1.25 * 2^14 = f500, 12288 = 1.5 *
// 2^13 = 28 << 10 | 0x200 = 7200, -16384 = f400. Parameter 1, as 0.7 > 0.618 >= 0.7^2. Gaps 2, 0, 5: quotients 1, 0, 2 and low bits 0, 0,
// 1, so the stream is 01 0, 1 0, 001 1: bits 1, 3 and 7 of the first byte, bit 0 of the second.
TEST(GoldenPayload, OfTopkGlobalRice) {
  expect_both_ways({"topk", {"scope=global", "index_coding=rice", "density=30%"}}, {0, 1, -5, 3, 0, 0.5, 0, 0, 2, -4},
                   {0, 0, -5, 3, 0, 0, 0, 0, 0, -4}, "topk_global_rice");
}

// 1 = 3f800000, -2 = c0000000, 8 = 41000000, little-endian; positions as u16.
TEST(GoldenPayload, OfTopkRawFp32) {
  expect_both_ways({"topk", {"values=fp32", "index_coding=raw", "density=50%", "chunk=4"}}, {1, -2, 0.5, 0, 8}, {1, -2, 0, 0, 8},
                   "topk_raw_fp32");
}

// Rounds of a sketch as they travel: fp32, little-endian.
Payload bytes_of_parts(const std::vector<std::vector<float>>& parts) {
  Payload bytes;
  for (const auto& part : parts) {
    const ConstBytes raw = std::as_bytes(std::span(part));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

// Columns have norm 1/4 for 2 and for 4 elements. P = M Q = 0.25 (2 2 2 -2), of norm 1: as a basis (0.5 0.5 0.5 -0.5) / 4. Round 1: the
// first column gives 8 / 8 = 1, the second (1 + 3 + 2) / 8 = 0.75. Decoded: (0.5 0.5 0.5 -0.5) times 4 (1 0.75) = (4 3).
TEST(GoldenPayload, OfPowersgd) {
  const auto sketch = make_sketch({"powersgd", {"rank=1", "min_compression=0"}});
  const Layer layer{.id = 3, .rows = 4, .cols = 2};
  const std::vector<float> a{2, 1, 2, 3, 2, 2, -2, 0};
  Scratch scratch(sketch->traits(layer).scratch_bytes);
  std::vector<float> memory{0, 0, 0, 0, 0.25, 0};  // P, then Q
  std::vector<float> first(4), last(2), decoded(8, 0.0f);
  sketch->produce(layer, 0, a.data(), memory, scratch.context, first);
  sketch->absorb(layer, 0, first, memory, scratch.context);
  sketch->produce(layer, 1, a.data(), memory, scratch.context, last);
  sketch->absorb(layer, 1, last, memory, scratch.context);
  sketch->decode_add(layer, last, memory, 1, decoded.data(), scratch.context);
  EXPECT_EQ(bytes_of_parts({first, last}), golden_payload("powersgd"));
  EXPECT_EQ(decoded, (std::vector<float>{2, 1.5, 2, 1.5, 2, 1.5, -2, -1.5}));
  EXPECT_FLOAT_EQ(memory[4], 0.25f * 0.8f);  // the next Q: (1 0.75) / 1.25 = (0.8 0.6)
  EXPECT_FLOAT_EQ(memory[5], 0.25f * 0.6f);
}

// The strata [0, 3), [3, 6), [6, 10) and their draws, computed apart from this code (XXH3-64 of the layer's id as a u64, seed 2, is the
// stream bfba2b0bd51cf805; Philox4x32-10 of key 0 at 0, 1, 2): offsets 2, 1, 1.
TEST(GoldenPayload, OfRandomk) {
  const auto sketch = make_sketch({"randomk", {"density=30%"}});
  const Layer layer = layer_of(10);
  const std::vector<float> a{0.5, 1, -2, 3, -0.25, 6, 7, 8, -9, 10};
  Context context;  // shared draws of seed 0
  std::vector<float> part(3), decoded(10, 0.0f);
  sketch->produce(layer, 0, a.data(), {}, context, part);
  sketch->decode_add(layer, part, {}, 1, decoded.data(), context);
  EXPECT_EQ(bytes_of_parts({part}), golden_payload("randomk"));
  EXPECT_EQ(decoded, (std::vector<float>{0, 0, -2, 0, -0.25, 0, 0, 8, 0, 0}));
}

// What an option is set to in a row of the table, as a number ("density=30%": 0.3), or else its default.
double option_or(const Variant& variant, const std::string& key, double otherwise) {
  for (const std::string& option : variant.options) {
    if (option.starts_with(key + "=")) return std::stod(option.substr(key.size() + 1)) / (option.ends_with('%') ? 100 : 1);
  }
  return otherwise;
}

size_t sketch_bytes_by_formula(const Variant& variant, Layer layer) {
  const double elems = static_cast<double>(layer.elems());
  if (variant.codec == "randomk")
    return 4 * static_cast<size_t>(std::max(1.0, std::floor(option_or(variant, "density", 0.01) * elems + 0.5)));
  const double rank = std::min({option_or(variant, "rank", 4), static_cast<double>(layer.rows), static_cast<double>(layer.cols)});
  const double factors = static_cast<double>(layer.rows + layer.cols) * rank;
  return static_cast<size_t>(4 * (factors * option_or(variant, "min_compression", 2) < elems ? factors : elems));
}

// "100" elements in one row, or "20x5".
Layer layer_of_cell(const std::string& cell) {
  const size_t by = cell.find('x');
  if (by == std::string::npos) return layer_of(std::stoul(cell));
  return {.id = 3, .rows = std::stol(cell.substr(0, by)), .cols = std::stol(cell.substr(by + 1))};
}

// The formulas of docs/formats/payload.md.
size_t bytes_by_formula(const std::string& codec, const std::string& options, double density, size_t chunk, size_t elems) {
  if (codec == "none" || codec == "skeleton") return 4 * elems;
  if (codec == "bf16") return 2 * elems;
  const auto has = [&](const char* option) { return options.find(option) != std::string::npos; };
  const auto block = [&](size_t length) {
    const size_t kept = std::max<size_t>(1, static_cast<size_t>(std::floor(density * static_cast<double>(length) + 0.5)));
    const size_t values = has("values=fp32") ? 4 * kept : 1 + 2 * kept;
    return values + (!has("index_coding=raw") ? (3 * kept + 1) / 2 : has("scope=global") ? 4 * kept : 2 * kept);
  };
  if (has("scope=global")) return block(elems);
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
    const size_t expected = std::stoul(bytes);
    const Layer layer = layer_of_cell(elems);
    const size_t count = static_cast<size_t>(layer.elems());
    if (is_bucketed(variant.codec)) {  // a sign payload is this long only where no element is 0
      EXPECT_EQ(bucketed_bytes(variant, count), expected);
      EXPECT_EQ(encode(*make(variant), layer, std::vector<float>(count, 1.0f)).payload.size(), expected);
      continue;
    }
    const size_t by_formula = !make(variant)                  ? sketch_bytes_by_formula(variant, layer)
                              : variant.codec == "sparseloco" ? sparseloco_bytes(variant.options, count)
                                                              : bytes_by_formula(variant.codec, options, density, chunk, count);
    EXPECT_EQ(by_formula, expected);
    EXPECT_EQ(make_any(variant)->traits(layer).exact_bytes, expected);
  }
  EXPECT_GT(rows, 10);
}

}  // namespace
}  // namespace thinwire::compressors
