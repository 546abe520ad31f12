// SparseLoCo against a model that sorts whole blocks and writes bits as text, and against formulas.
#include "compressors/sparseloco/sparseloco.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "compressors/sparseloco/bins.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

Layer matrix(int64_t rows, int64_t cols) { return {.id = 3, .rows = rows, .cols = cols}; }

// The definition, written as plainly as possible: which elements of the layer form each block, in order.
std::vector<std::vector<size_t>> model_blocks(Layer layer, const std::string& vectors) {
  const size_t rows = static_cast<size_t>(layer.rows), cols = static_cast<size_t>(layer.cols);
  const auto side = [](size_t length) {
    size_t best = 1;
    for (size_t d = 1; d <= std::min<size_t>(64, length); ++d) best = length % d == 0 ? d : best;
    return best;
  };
  std::vector<std::vector<size_t>> blocks;
  if (rows == 1 || cols == 1) {
    const size_t chunk = vectors == "4096" ? 4096 : side(rows * cols);
    for (size_t i = 0; i < rows * cols; ++i) {
      if (i % chunk == 0) blocks.emplace_back();
      blocks.back().push_back(i);
    }
    return blocks;
  }
  const size_t h = side(rows), w = side(cols);
  blocks.resize(rows / h * (cols / w));
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) blocks[r / h * (cols / w) + c / w].push_back(r * cols + c);
  }
  return blocks;
}

// Positions within the block, ascending: sort everything by magnitude, then by position.
std::vector<size_t> model_choice(const std::vector<size_t>& block, const std::vector<float>& a, int64_t k) {
  const double share = std::round(static_cast<double>(block.size()) * static_cast<double>(k) / 4096);
  std::vector<size_t> order(block.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t i, size_t j) { return std::fabs(a[block[i]]) > std::fabs(a[block[j]]); });
  order.resize(std::max<size_t>(1, static_cast<size_t>(share)));
  std::ranges::sort(order);
  return order;
}

unsigned cheapest_parameter(size_t kept, size_t of) {
  const double missed = 1 - static_cast<double>(kept) / static_cast<double>(of);
  const auto cost = [&](unsigned r) { return r + 1 / (1 - std::pow(missed, std::pow(2.0, r))); };
  unsigned best = 0;
  for (unsigned r = 1; r < 16; ++r) best = cost(r) < cost(best) ? r : best;
  return best;
}

std::string field(size_t number, unsigned width) {  // lowest bit first
  std::string bits;
  for (unsigned i = 0; i < width; ++i) bits += (number >> i) % 2 == 1 ? '1' : '0';
  return bits;
}

std::string position_bits(const std::vector<size_t>& positions, size_t of, const std::string& coding) {
  std::string bits;
  const unsigned parameter = cheapest_parameter(positions.size(), of);
  for (size_t i = 0; i < positions.size(); ++i) {
    const size_t gap = i == 0 ? positions[0] : positions[i] - positions[i - 1] - 1;
    bits += coding == "rice" ? std::string(gap >> parameter, '0') + '1' + field(gap, parameter) : field(positions[i], 12);
  }
  return bits;
}

struct Model {
  std::vector<float> decoded;
  Payload payload;
};

Model model(Layer layer, const SparseLocoOptions& options, const std::vector<float>& a) {
  const auto blocks = model_blocks(layer, options.vectors);
  std::vector<std::vector<size_t>> chosen;
  std::vector<float> values;
  for (const auto& block : blocks) {
    chosen.push_back(model_choice(block, a, options.k));
    for (const size_t position : chosen.back()) values.push_back(a[block[position]]);
  }
  const int bins = 1 << options.bits;
  const bool exact = values.size() <= static_cast<size_t>(bins);

  // Bins, from the formulas of the format page.
  double mean = 0, squares = 0;
  for (const float value : values) mean += value;
  mean /= static_cast<double>(values.size());
  for (const float value : values) squares += (value - mean) * (value - mean);
  double scale = 6 * std::sqrt(squares / static_cast<double>(values.size() - 1)) / bins;
  if (!(scale > 0)) scale = 1;
  std::map<int, std::vector<double>> by_bin;
  std::vector<int> codes;
  for (const float value : values) {
    const double rounded = std::rint((value - mean) / scale + bins / 2);
    codes.push_back(rounded < 0 ? 0 : rounded > bins - 1 ? bins - 1 : static_cast<int>(rounded));
    by_bin[codes.back()].push_back(value);
  }
  std::vector<float> levels(exact ? 0 : static_cast<size_t>(bins), 0.0f);
  for (const auto& [bin, members] : by_bin) {
    double sum = 0, magnitudes = 0;
    for (const double value : members) sum += value, magnitudes += std::fabs(value);
    if (!exact && std::fabs(sum) >= magnitudes / 1048576)
      levels[static_cast<size_t>(bin)] = static_cast<float>(sum / static_cast<double>(members.size()));
  }
  if (exact) levels = values;

  Model result{.decoded = std::vector<float>(a.size(), 0.0f), .payload = {}};
  std::string bits;
  size_t next = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    bits += position_bits(chosen[b], blocks[b].size(), options.index_coding);
    for (const size_t position : chosen[b]) {
      if (!exact) bits += field(static_cast<size_t>(codes[next]), static_cast<unsigned>(options.bits));
      result.decoded[blocks[b][position]] = exact ? values[next] : levels[static_cast<size_t>(codes[next])];
      ++next;
    }
  }
  for (const float level : levels) {
    for (const std::byte byte : std::as_bytes(std::span(&level, 1))) result.payload.push_back(byte);
  }
  bits.resize((bits.size() + 7) / 8 * 8, '0');
  for (size_t i = 0; i < bits.size(); i += 8) {
    result.payload.push_back(static_cast<std::byte>(std::stoi(
        std::string(bits.rend() - static_cast<std::ptrdiff_t>(i) - 8, bits.rend() - static_cast<std::ptrdiff_t>(i)), nullptr, 2)));
  }
  return result;
}

TEST(SparseLoco, EqualsTheModelOnEveryShape) {
  const std::vector<std::pair<int, int>> shapes{{1, 1}, {1, 10},    {1, 4096}, {1, 5000}, {7, 1},   {5000, 1}, {1, 4097}, {64, 64},
                                                {2, 3}, {128, 192}, {60, 100}, {67, 71},  {97, 64}, {64, 97},  {3, 1000}, {200, 130}};
  const std::vector<SparseLocoOptions> all_options{
      {},
      {.k = 1},
      {.k = 700, .bits = 3},
      {.k = 4096},
      {.k = 300, .bits = 8},
      {.k = 64, .bits = 2, .vectors = "divisor"},
      {.k = 100, .bits = 4, .vectors = "4096", .index_coding = "packed12"},
  };
  uint64_t seed = 0;
  for (const auto& [rows, cols] : shapes) {
    const Layer layer = matrix(rows, cols);
    std::vector<float> a = normal_values(static_cast<size_t>(layer.elems()), ++seed);
    if (seed % 2 == 0) {
      for (float& value : a) value = std::round(value * 4) * 0.01f;  // ties
    }
    for (const SparseLocoOptions& options : all_options) {
      SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(cols) + ", k " + std::to_string(options.k) + ", bits " +
                   std::to_string(options.bits));
      const SparseLocoCodec codec(options);
      const Model expected = model(layer, options, a);
      const Encoded encoded = encode(codec, layer, a, std::vector<float>(a.size(), 0.0f));
      ASSERT_EQ(encoded.payload, expected.payload);
      ASSERT_EQ(decode(codec, layer, encoded.payload), expected.decoded);
      for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(encoded.residual[i], a[i] - expected.decoded[i]) << "element " << i;
    }
  }
}

TEST(SparseLoco, FormsTheSumBlockByBlock) {
  const Layer layer = matrix(60, 100);
  const std::vector<float> x = normal_values(6000, 1), before = normal_values(6000, 2);
  std::vector<float> a(6000);
  for (size_t i = 0; i < a.size(); ++i) {
    const volatile float kept = 0.95f * before[i], fresh = -0.3f * x[i];  // volatile: each is rounded to fp32
    a[i] = kept + fresh;
  }
  const Model expected = model(layer, {}, a);
  const Encoded encoded = encode(SparseLocoCodec({}), layer, x, before, -0.3f, 0.95f);
  EXPECT_EQ(encoded.payload, expected.payload);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(encoded.residual[i], a[i] - expected.decoded[i]) << "element " << i;

  std::vector<float> out = x;
  decode_add(SparseLocoCodec({}), layer, encoded.payload, 0.25f, out);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(out[i], x[i] + 0.25f * expected.decoded[i]) << "element " << i;
}

// 2 bits a value, 16 bytes of levels, and positions near log2(binom(4096, 64)) / 64 = 7.364 bits: what 14 bits took before.
TEST(SparseLoco, TakesLessThanTenBitsAKeptValue) {
  const SparseLocoCodec codec({});
  const Layer layer = matrix(1024, 1024);
  const size_t kept = (size_t{1} << 20) / 64;
  const double bits = 8.0 * static_cast<double>(encode(codec, layer, normal_values(1 << 20, 1)).payload.size()) / static_cast<double>(kept);
  EXPECT_LE(bits, 9.7);
  EXPECT_GT(bits, 2 + 7.364);
  const SparseLocoCodec packed({.index_coding = "packed12"});
  EXPECT_EQ(packed.traits(layer).exact_bytes, 16 + kept * 14 / 8);
}

// The kept values of a normal distribution are beyond +-t with 2 Q(t) = 1/64, t = 2.418; all fall into two bins. There E[v^2] = 1 + t m and
// var|v| = 1 + t m - m^2 with m = phi(t) / Q(t) = 2.748: the bins lose 0.0911 / 7.644 = 1.19 % of the kept square sum.
TEST(SparseLoco, LosesAboutAPercentOfWhatItKeepsOfNormalValues) {
  const SparseLocoCodec codec({});
  const Layer layer = matrix(1024, 512);
  const std::vector<float> a = normal_values(1024 * 512, 2);
  const std::vector<float> decoded = decode(codec, layer, encode(codec, layer, a).payload);
  double kept = 0, lost = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (decoded[i] == 0) continue;
    kept += std::pow(static_cast<double>(a[i]), 2);
    lost += std::pow(static_cast<double>(a[i]) - decoded[i], 2);
  }
  EXPECT_NEAR(lost / kept, 0.0119, 0.0015);
}

TEST(SparseLoco, SendsFewValuesAsTheyAre) {
  const SparseLocoCodec codec({});
  const std::vector<float> a = normal_values(256, 1);  // 4 of 256, and 4 bins
  const Encoded encoded = encode(codec, layer_of(256), a, std::vector<float>(256, 0.0f));
  EXPECT_EQ(std::ranges::count(encoded.residual, 0.0f), 4);
  EXPECT_EQ(codec.traits(layer_of(256)).delta, 4.0 / 256);
  EXPECT_EQ(codec.traits(layer_of(320)).delta, 0);  // 5 of 320
  EXPECT_EQ(SparseLocoCodec({.bits = 8}).traits(matrix(256, 64)).delta, 1.0 / 64);
  EXPECT_EQ(SparseLocoCodec({.k = 4096}).traits(layer_of(4)).delta, 1);
}

TEST(SparseLoco, IsGatheredAndNeverCut) {
  const Traits traits = SparseLocoCodec({}).traits(matrix(128, 128));
  EXPECT_EQ(traits.combine, Combine::gather);
  EXPECT_EQ(traits.split_elems, 0u);
}

TEST(Blocks, HaveTheLargestDivisorsUpTo64) {
  EXPECT_EQ(largest_divisor(224, 64), 56u);
  EXPECT_EQ(largest_divisor(8192, 64), 64u);
  EXPECT_EQ(largest_divisor(50257, 64), 29u);  // 29 * 1733
  EXPECT_EQ(largest_divisor(67, 64), 1u);
  EXPECT_EQ(largest_divisor(61, 64), 61u);
  EXPECT_EQ(largest_divisor(1, 64), 1u);
}

std::vector<float> fitted(const std::vector<float>& values, size_t bins, std::vector<uint8_t>& codes) {
  std::vector<float> levels(bins, -1.0f);
  codes.resize(values.size());
  fit_bins(values, levels, codes);
  return levels;
}

// Mean 0, square sum 58, sigma = sqrt(58 / 5) = 3.406, scale 5.109: 4 and 3 are 0.78 and 0.59 above 2, so 3; 2 is 0.39 above it.
TEST(Bins, AreSixSigmasAroundTheMean) {
  std::vector<uint8_t> codes;
  EXPECT_EQ(fitted({4, -4, 2, -2, 3, -3}, 4, codes), (std::vector<float>{0, -3.5, 0, 3.5}));
  EXPECT_EQ(codes, (std::vector<uint8_t>{3, 1, 2, 2, 3, 1}));
}

// Nine zeros and a 10: mean 1, square sum 9 + 81, sigma = sqrt(10), scale 4.743: 10 is 1.90 above 2, so 4, clamped to 3.
TEST(Bins, ClampToTheLast) {
  std::vector<float> values(10, 0.0f);
  values[4] = 10;
  std::vector<uint8_t> codes;
  EXPECT_EQ(fitted(values, 4, codes), (std::vector<float>{0, 0, 0, 10}));
  EXPECT_EQ(codes[4], 3);
  EXPECT_EQ(codes[5], 2);
}

TEST(Bins, KeepAConstantExactly) {
  std::vector<uint8_t> codes;
  for (const float value : {0.1f, -3e38f, 1e-45f, 0.0f}) {
    EXPECT_EQ(fitted(std::vector<float>(1000, value), 4, codes), (std::vector<float>{0, 0, value, 0}));
  }
}

TEST(Bins, TakeASumThatCancelsForZero) {
  std::vector<uint8_t> codes;
  EXPECT_EQ(fitted({100, -100, 100, -100, 1, -1 + 0x1p-20f}, 4, codes)[2], 0);  // of magnitudes 2: 2^-21 of them is left
  EXPECT_EQ(fitted({100, -100, 100, -100, 1, -1 + 0x1p-18f}, 4, codes)[2], 0x1p-19f);
}

TEST(Bins, NeverLoseMoreThanTheValuesHave) {
  std::vector<uint8_t> codes;
  for (const Input& input : hurtful_inputs(3000)) {
    for (const size_t bins : {4, 8, 256}) {
      const std::vector<float> levels = fitted(input.values, bins, codes);
      double error = 0;
      for (size_t i = 0; i < input.values.size(); ++i) error += std::pow(static_cast<double>(input.values[i]) - levels[codes[i]], 2);
      EXPECT_LE(error, square_sum(input.values) * (1 + 1e-12)) << input.name << ", " << bins << " bins";
    }
  }
}

// 8 of 16 elements in 4 bins: 16 bytes of levels; positions 0 to 7 under r = 0 are eight ones; then 16 bits of codes.
Payload eight_of_sixteen() {
  std::vector<float> a(16, 0.0f);
  for (size_t i = 0; i < 8; ++i) a[i] = i % 2 == 0 ? 1.0f : -1.0f;
  return encode(SparseLocoCodec({.k = 2048}), layer_of(16), a).payload;
}

std::string refusal(Payload payload, size_t elems = 16, SparseLocoOptions options = {.k = 2048}) {
  std::vector<float> out(elems, 1.0f);
  try {
    decode_add(SparseLocoCodec(options), layer_of(elems), payload, 1, out);
  } catch (const CorruptData& error) {
    EXPECT_EQ(out, std::vector<float>(elems, 1.0f));
    return error.what();
  }
  return "accepted";
}

std::string with_byte(size_t at, int value) {
  Payload payload = eight_of_sixteen();
  payload.at(at) = static_cast<std::byte>(value);
  return refusal(payload);
}

TEST(SparseLoco, SaysWhatIsWrongWithAPayload) {
  const std::string prefix = "sparseloco payload of layer 3: ";
  const Payload good = eight_of_sixteen();
  ASSERT_EQ(good.size(), 16u + 3);
  EXPECT_EQ(refusal(good), "accepted");
  EXPECT_EQ(refusal(Payload(good.begin(), good.begin() + 15)), prefix + "ends within its levels");
  EXPECT_EQ(refusal(Payload(good.begin(), good.end() - 1)), prefix + "a position is out of range or order, or the bits end too soon");
  EXPECT_EQ(with_byte(16, 0x00), prefix + "a position is out of range or order, or the bits end too soon");
  Payload longer = good;
  longer.push_back(std::byte{0});
  EXPECT_EQ(refusal(longer), prefix + "has bytes to spare");
  // Levels: bin 0 and 2 are empty, 1 is -1, 3 is 1.
  EXPECT_EQ(load_le<float>(good.data() + 4), -1.0f);
  EXPECT_EQ(with_byte(0, 1), prefix + "the level of an empty bin is not 0");
  EXPECT_EQ(with_byte(11, 0x80), prefix + "the level of an empty bin is not 0");  // -0
  Payload infinite = good;
  store_le(infinite.data() + 4, 0x7f800000u);
  EXPECT_EQ(refusal(infinite), prefix + "a level is not finite");
  EXPECT_EQ(refusal({}, 0), "accepted");
  EXPECT_EQ(refusal({std::byte{0}}, 0), prefix + "has 1 bytes, expected 0");
}

TEST(SparseLoco, RefusesPaddingAndPackedPositionsOutOfOrder) {
  const std::string prefix = "sparseloco payload of layer 3: ";
  const SparseLocoOptions packed{.k = 1024, .index_coding = "packed12"};  // 2 of 8: two floats, and 24 bits
  Payload payload = encode(SparseLocoCodec(packed), layer_of(8), {0, 3, 0, 0, 0, -2, 0, 0}).payload;
  ASSERT_EQ(payload.size(), 11u);
  EXPECT_EQ(payload[8], std::byte{1});  // 1, and 5 in the next twelve bits
  EXPECT_EQ(payload[9], std::byte{0x50});
  EXPECT_EQ(refusal(payload, 8, packed), "accepted");
  payload[9] = std::byte{0x10};
  EXPECT_EQ(refusal(payload, 8, packed), prefix + "a position is out of range or order, or the bits end too soon");
  payload[9] = std::byte{0x80};
  EXPECT_EQ(refusal(payload, 8, packed), prefix + "a position is out of range or order, or the bits end too soon");

  Payload one = encode(SparseLocoCodec({}), layer_of(2), {0, 3}).payload;  // one float; r = 0: the bits 0 1
  ASSERT_EQ(one.size(), 5u);
  EXPECT_EQ(one[4], std::byte{2});
  one[4] = std::byte{6};
  EXPECT_EQ(refusal(one, 2, {}), prefix + "padding is not 0");
}

}  // namespace
}  // namespace thinwire::compressors
