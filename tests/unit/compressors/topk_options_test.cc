// Scope, value format and index coding of `topk`: what is sent, what it costs, what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "compressors/topk/topk.h"
#include "config/load.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

std::vector<uint8_t> numbers_of(const Payload& payload) {
  std::vector<uint8_t> numbers;
  for (const std::byte byte : payload) numbers.push_back(std::to_integer<uint8_t>(byte));
  return numbers;
}

std::string config_refusal(const std::vector<std::string>& options) {
  TopkOptions parsed;
  config::Section section;
  describe(section, parsed);
  try {
    config::load(section, {}, options);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(TopkOptions, RefusesPositionsThatTheCodingCannotHold) {
  EXPECT_EQ(config_refusal({"chunk=4096"}), "accepted");
  EXPECT_NE(config_refusal({"chunk=4097"}).find("below 4096"), std::string::npos);
  EXPECT_EQ(config_refusal({"chunk=65536", "index_coding=raw"}), "accepted");
  EXPECT_NE(config_refusal({"chunk=65537", "index_coding=raw"}), "accepted");
  EXPECT_NE(config_refusal({"scope=global"}).find("choose raw or rice"), std::string::npos);
  EXPECT_EQ(config_refusal({"scope=global", "index_coding=rice"}), "accepted");
  EXPECT_EQ(config_refusal({"scope=global", "index_coding=raw"}), "accepted");
}

// 10 and -20 of each four, as fp32 with u16 positions.
TEST(TopkOptions, SendsRawPositionsAndPlainValues) {
  const TopkCodec codec({.density = 0.5, .chunk = 4, .values = "fp32", .index_coding = "raw"});
  const std::vector<float> a{1, 10, -20, 2, 10, 0, 0, -20};
  const Encoded encoded = encode(codec, layer_of(8), a, std::vector<float>(8, 0.0f));
  EXPECT_EQ(numbers_of(encoded.payload), (std::vector<uint8_t>{0, 0, 0x20, 0x41, 0, 0, 0xa0, 0xc1, 1, 0, 2, 0,  //
                                                               0, 0, 0x20, 0x41, 0, 0, 0xa0, 0xc1, 0, 0, 3, 0}));
  EXPECT_EQ(encoded.residual, (std::vector<float>{1, 0, 0, 2, 0, 0, 0, 0}));
}

TEST(TopkOptions, ChoosesAmongTheWholeLayerUnderScopeGlobal) {
  const TopkCodec codec({.density = 0.25, .scope = "global", .chunk = 4, .values = "fp32", .index_coding = "raw"});
  const std::vector<float> a{1, 10, -20, 2, 0.5, 0, 0, -0.25};  // the second half has nothing to send
  EXPECT_EQ(numbers_of(encode(codec, layer_of(8), a).payload),
            (std::vector<uint8_t>{0, 0, 0x20, 0x41, 0, 0, 0xa0, 0xc1, 1, 0, 0, 0, 2, 0, 0, 0}));
}

TEST(TopkOptions, StatesWhatScopeMeansForPlanning) {
  const TopkCodec global({.density = 0.01, .scope = "global", .values = "fp32", .index_coding = "raw"});
  const Traits traits = global.traits(layer_of(1000));
  EXPECT_EQ(traits.split_elems, 0u);
  EXPECT_EQ(traits.exact_bytes, 10u * 8);
  EXPECT_DOUBLE_EQ(traits.delta, 0.01);
  const TopkCodec chunked({.density = 0.01, .chunk = 65536, .index_coding = "raw"});
  EXPECT_EQ(chunked.traits(layer_of(1 << 20)).split_elems, 65536u);
  EXPECT_EQ(chunked.traits(layer_of(65536)).exact_bytes, 1u + 655 * 4);
  EXPECT_EQ(TopkCodec({.density = 1, .values = "fp32"}).traits(layer_of(5000)).delta, 1);  // lossless
}

TEST(TopkOptions, NeedsNoMemoryThatGrowsWithTheLayerButForWhatIsKept) {
  const TopkCodec codec({.density = 0.001, .scope = "global", .index_coding = "rice"});
  const size_t small = codec.traits(layer_of(1'000'000)).scratch_bytes, large = codec.traits(layer_of(64'000'000)).scratch_bytes;
  EXPECT_EQ(large - small, 63'000u * 8);
}

// Gaps of random positions: Rice coding is within a few per cent of the entropy of a choice of k among n, log2 binom(n, k).
TEST(TopkOptions, SpendsAboutTheEntropyOnRiceCodedPositions) {
  const auto log2_factorial = [](double n) { return std::lgamma(n + 1) / std::log(2.0); };
  constexpr size_t kElems = 64 * 4096;
  for (const double density : {0.005, 0.01, 0.0625}) {
    for (const std::string scope : {"chunk", "global"}) {
      const TopkCodec codec({.density = density, .scope = scope, .index_coding = "rice"});
      const size_t bytes = encode(codec, layer_of(kElems), normal_values(kElems, 1)).payload.size();
      const double block = scope == "chunk" ? 4096 : kElems, blocks = kElems / block, kept = std::round(density * block);
      const double entropy = log2_factorial(block) - log2_factorial(kept) - log2_factorial(block - kept);
      const double spent = 8.0 * static_cast<double>(bytes) / blocks - 8 - 16 * kept;  // without exponent and halves
      EXPECT_GE(spent, entropy * 0.99);                                                // random data may be luckier than the mean
      EXPECT_LE(spent, entropy * 1.04 + 8) << scope << ' ' << density;                 // 8: a block ends on a whole byte
    }
  }
}

TEST(TopkOptions, ReachesTheWorstLengthThatItStates) {
  const TopkCodec codec({.density = 0.05, .chunk = 100, .index_coding = "rice"});  // 5 of 100: gaps in units of 2^4 and less
  std::vector<float> a(1000, 0.0f);
  for (size_t begin = 0; begin < a.size(); begin += 100) {
    for (size_t i = 95; i < 100; ++i) a[begin + i] = 1.0f;  // one gap of 95, which no other choice exceeds
  }
  EXPECT_EQ(encode(codec, layer_of(1000), a).payload.size(), codec.traits(layer_of(1000)).worst_bytes);
  EXPECT_FALSE(codec.traits(layer_of(1000)).exact_bytes.has_value());
}

// Pieces between cuts at chunks, as an exchange may send them.
TEST(TopkOptions, DecodesPiecesAsTheWhole) {
  for (const std::string coding : {"packed12", "raw", "rice"}) {
    const TopkCodec codec({.density = 0.1, .chunk = 64, .index_coding = coding});
    const std::vector<float> a = normal_values(1000, 1);
    Payload joined = encode(codec, layer_of(640), {a.begin(), a.begin() + 640}).payload;
    const Payload tail = encode(codec, layer_of(360), {a.begin() + 640, a.end()}).payload;
    joined.insert(joined.end(), tail.begin(), tail.end());
    EXPECT_EQ(joined, encode(codec, layer_of(1000), a).payload);
  }
}

// The payload of `a` with its last bytes replaced: what it is refused for.
std::string refusal(const TopkOptions& options, std::initializer_list<uint8_t> last) {
  const TopkCodec codec(options);
  Payload payload = encode(codec, layer_of(8), {1, -3, 0.5, 3, 0, -2, 0.25, -1}).payload;
  size_t at = payload.size() - last.size();
  for (const uint8_t byte : last) payload[at++] = std::byte{byte};
  std::vector<float> out(8, 1.0f);
  try {
    decode_add(codec, layer_of(8), payload, 1, out);
  } catch (const CorruptData& error) {
    EXPECT_EQ(out, std::vector<float>(8, 1.0f));
    return error.what();
  }
  return "accepted";
}

TEST(TopkOptions, SaysWhatIsWrongWithRawPositions) {
  const std::string prefix = "topk payload of layer 3: chunk 0: ";
  const TopkOptions narrow{.density = 0.375, .chunk = 8, .index_coding = "raw"};
  EXPECT_EQ(refusal(narrow, {1, 0, 3, 0, 7, 0}), "accepted");
  EXPECT_EQ(refusal(narrow, {1, 0, 3, 0, 8, 0}), prefix + "index is beyond the chunk");
  EXPECT_EQ(refusal(narrow, {1, 0, 9, 0, 7, 0}), prefix + "indices are not ascending");
  EXPECT_EQ(refusal(narrow, {3, 0, 3, 0, 5, 0}), prefix + "indices are not ascending");
  const TopkOptions wide{.density = 0.375, .scope = "global", .index_coding = "raw"};
  EXPECT_EQ(refusal(wide, {7, 0, 0, 0}), "accepted");
  EXPECT_EQ(refusal(wide, {5, 0, 0, 1}), prefix + "index is beyond the chunk");
}

// Positions 1, 3, 5 of 8 under parameter 1, as (5/8)^2 <= 0.618 < 5/8: gaps 1, 1, 1, each a one and the low bit 1. Stream 111111.
TEST(TopkOptions, SaysWhatIsWrongWithRiceCodedPositions) {
  const std::string prefix = "topk payload of layer 3: chunk 0: ";
  for (const std::string scope : {"chunk", "global"}) {
    const TopkOptions rice{.density = 0.375, .scope = scope, .chunk = 8, .index_coding = "rice"};
    EXPECT_EQ(refusal(rice, {0x3f}), "accepted");
    EXPECT_EQ(refusal(rice, {0x7f}), prefix + "indices are corrupt");  // padding
    EXPECT_EQ(refusal(rice, {0x15}), "accepted");                      // gaps 0, 0, 0
    EXPECT_EQ(refusal(rice, {0xcf}), prefix + "indices are corrupt");  // gaps 1, 1, then 00 1 1: it would end behind the byte
    EXPECT_EQ(refusal(rice, {0x00}), prefix + "indices are corrupt");  // a run of zeros without an end
  }
}

TEST(TopkOptions, RefusesWhatFollowsTheLastBlock) {
  const TopkCodec codec({.density = 0.375, .chunk = 8, .index_coding = "rice"});
  Payload payload = encode(codec, layer_of(8), {1, -3, 0.5, 3, 0, -2, 0.25, -1}).payload;
  payload.push_back(std::byte{0});
  try {
    decode(codec, layer_of(8), payload);
    FAIL() << "accepted";
  } catch (const CorruptData& error) {
    EXPECT_STREQ(error.what(), "topk payload of layer 3: has 1 bytes behind its last chunk");
  }
}

TEST(TopkOptions, RefusesPlainValuesThatAreNotFinite) {
  const TopkCodec codec({.density = 1, .values = "fp32"});
  Payload payload = encode(codec, layer_of(2), {1, 2}).payload;
  store_le(payload.data() + 4, std::numeric_limits<float>::max());
  EXPECT_EQ(decode(codec, layer_of(2), payload)[1], std::numeric_limits<float>::max());
  store_le(payload.data() + 4, -std::numeric_limits<float>::infinity());
  EXPECT_THROW(decode(codec, layer_of(2), payload), CorruptData);
}

}  // namespace
}  // namespace thinwire::compressors
