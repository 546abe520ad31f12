#include <gtest/gtest.h>

#include <limits>

#include "compressors/cast/bf16.h"
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
  constexpr float kLargest = std::numeric_limits<float>::max(), kLargestBf16 = 0x1.fep127f;
  const Payload payload = encode(codec, layer_of(2), {kLargest, -kLargest}).payload;
  EXPECT_EQ(decode(codec, layer_of(2), payload), (std::vector<float>{kLargestBf16, -kLargestBf16}));
}

}  // namespace
}  // namespace thinwire::compressors
