// Weights of bf16 in exact coding, against the entropy of a model of them that the test works out itself.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/draw.h"
#include "exact_support.h"

namespace thinwire::checkpoint::exact::testing {
namespace {

constexpr size_t kElems = size_t{1} << 18;

// Normal weights of 0.04, and what `step` of the optimiser makes of them in fp32 before they are rounded.
std::vector<uint16_t> weights(float step) {
  std::vector<uint16_t> words(kElems);
  for (size_t i = 0; i < kElems; ++i)
    words[i] = to_bf16(0.04f * static_cast<float>(Draw(1).normal(i)) + step * static_cast<float>(Draw(2).normal(i)));
  return words;
}
Bytes bytes_of_words(const std::vector<uint16_t>& words) {
  Bytes bytes(2 * words.size());
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

// Bits of what `keys` tell, each key first and then the value.
template <class Key, class Value>
double conditional_bits(const std::vector<Key>& keys, const std::vector<Value>& values) {
  std::map<Key, std::map<Value, double>> counts;
  for (size_t i = 0; i < keys.size(); ++i) ++counts[keys[i]][values[i]];
  double bits = 0;
  for (const auto& [key, of_key] : counts) {
    double all = 0;
    for (const auto& [value, count] : of_key) all += count;
    for (const auto& [value, count] : of_key) bits -= count * std::log2(count / all);
  }
  return bits;
}

int ordered(uint16_t word) { return (word & 0x8000) != 0 ? -static_cast<int>(word & 0x7fff) : word; }

// Sign and mantissa of normal numbers are noise, 8 bits; the exponent has about 2.5.
TEST(ExactBf16, AloneTakesTheEntropyOfTheExponent) {
  const auto words = weights(0);
  std::vector<int> exponents;
  for (const uint16_t word : words) exponents.push_back(word >> 7 & 0xff);
  const double wanted = (conditional_bits(std::vector<int>(kElems), exponents) + 8.0 * kElems) / 8;
  const Bytes bytes = bytes_of_words(words), coded = encode_one({DType::bf16, 512, bytes, {}});
  EXPECT_LT(static_cast<double>(coded.size()), 1.02 * wanted);
  EXPECT_GT(static_cast<double>(bytes.size()) / static_cast<double>(coded.size()), 1.51);
  EXPECT_EQ(decode_one(coded, DType::bf16, {}, bytes.size()), bytes);
}

// Given the exponent before, a small step is a difference of few values.
TEST(ExactBf16, ASmallStepTakesTheEntropyOfItsDifferences) {
  const auto before = weights(0), now = weights(2e-5f);
  std::vector<int> exponents, differences;
  for (size_t i = 0; i < kElems; ++i) {
    exponents.push_back(before[i] >> 7 & 0xff);
    differences.push_back(ordered(now[i]) - ordered(before[i]));
  }
  const double wanted = conditional_bits(exponents, differences) / 8;
  const Bytes bytes = bytes_of_words(now), earlier = bytes_of_words(before), coded = encode_one({DType::bf16, 512, bytes, earlier});
  EXPECT_LT(static_cast<double>(coded.size()), 1.10 * wanted);
  EXPECT_GT(static_cast<double>(bytes.size()) / static_cast<double>(coded.size()), 3);
  EXPECT_EQ(decode_one(coded, DType::bf16, earlier, bytes.size()), bytes);
}

}  // namespace
}  // namespace thinwire::checkpoint::exact::testing
