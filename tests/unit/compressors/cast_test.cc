#include <gtest/gtest.h>

#include <cmath>

#include "compressors/cast/bf16.h"
#include "compressors/cast/fp16.h"
#include "compressors/cast/none.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

TEST(None, IsLosslessAndLeavesNoResidual) {
  const NoneCodec codec;
  const std::vector<float> x = normal_values(1500, 1);
  const Encoded encoded = encode(codec, layer_of(1500), x, std::vector<float>(1500, 0.0f));
  EXPECT_EQ(bits_of(decode(codec, layer_of(1500), encoded.payload)), bits_of(x));
  EXPECT_EQ(encoded.residual, std::vector<float>(1500, 0.0f));
}

TEST(Bf16, RoundsTiesToEvenAndKeepsTheErrorInTheResidual) {
  const Bf16Codec codec;
  const std::vector<float> x{1 + 0x1p-8f, 1 + 3 * 0x1p-8f, -(1 + 0x1p-9f)};  // bfloat16 has 1, 1 + 2^-7, 1 + 2^-6 around here
  const Encoded encoded = encode(codec, layer_of(3), x, std::vector<float>(3, 0.0f));
  EXPECT_EQ(decode(codec, layer_of(3), encoded.payload), (std::vector<float>{1, 1 + 0x1p-6f, -1}));
  EXPECT_EQ(encoded.residual, (std::vector<float>{0x1p-8f, -0x1p-8f, -0x1p-9f}));
}

// bfloat16 denormals are multiples of 2^-133: half a step is a tie, to even is 0, and everything is lost. The bound holds with equality.
TEST(Bf16, LosesAtMostItsFloorBelowTheNormalRange) {
  const Bf16Codec codec;
  const std::vector<float> x(10, 0x1p-134f);
  EXPECT_EQ(decode(codec, layer_of(10), encode(codec, layer_of(10), x).payload), std::vector<float>(10, 0.0f));
  EXPECT_EQ(codec.traits(layer_of(10)).error_floor, 0x1p-134);
}

TEST(Bf16, SaturatesWhereRoundingWouldGiveInfinity) {
  const Bf16Codec codec;
  constexpr float kLargestBf16 = 0x1.fep127f;
  const Payload payload = encode(codec, layer_of(2), {kLargest, -kLargest}).payload;
  EXPECT_EQ(decode(codec, layer_of(2), payload), (std::vector<float>{kLargestBf16, -kLargestBf16}));
}

TEST(Fp16, RoundsToElevenBitsWhateverTheMagnitude) {
  const Fp16Codec codec;
  for (const float scale : {1e-35f, 1e-9f, 1.0f, 1e9f, 1e37f}) {
    std::vector<float> x = normal_values(5000, 1);
    for (float& value : x) value *= scale;
    const std::vector<float> decoded = decode(codec, layer_of(5000), encode(codec, layer_of(5000), x).payload);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_LE(std::fabs(decoded[i] - x[i]), 0x1p-11f * std::fabs(x[i])) << "element " << i;
  }
}

TEST(Fp16, RefusesWhatNoEncoderWrites) {
  const Fp16Codec codec;
  const auto refusal = [&](size_t at, uint8_t byte) -> std::string {
    Payload payload = encode(codec, layer_of(4097), normal_values(4097, 1)).payload;
    payload[at] = std::byte{byte};
    try {
      decode(codec, layer_of(4097), payload);
    } catch (const CorruptData& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal(8193, 113), "accepted");
  EXPECT_EQ(refusal(8193, 114), "fp16 payload of layer 3: block 1: exponent is out of range");
  EXPECT_EQ(refusal(2, 0x78), "fp16 payload of layer 3: block 0: value is out of range");
}

}  // namespace
}  // namespace thinwire::compressors
