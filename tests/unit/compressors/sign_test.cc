#include "compressors/sign/sign.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "compressors/sign/kernels.h"
#include "support.h"
#include "tests/support/targets.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

std::vector<float> round_trip(const SignCodec& codec, const std::vector<float>& x) {
  return decode(codec, layer_of(x.size()), encode(codec, layer_of(x.size()), x).payload);
}

TEST(Sign, SendsTheMeanMagnitudeOfEachBlock) {
  const SignCodec codec({.block = 8});
  EXPECT_EQ(round_trip(codec, {1, -2, 3, -4, 5, -6, 7, -8, 100, -200}),
            (std::vector<float>{4.5, -4.5, 4.5, -4.5, 4.5, -4.5, 4.5, -4.5, 150, -150}));
}

// Structurally zero gradients must not walk at random.
TEST(Sign, KeepsZerosAndLeavesThemOutOfTheMean) {
  const SignCodec codec({.block = 8});
  const std::vector<float> x{0, 3, -0.0f, -5};
  const Encoded encoded = encode(codec, layer_of(4), x, std::vector<float>(4, 0.0f));
  EXPECT_EQ(decode(codec, layer_of(4), encoded.payload), (std::vector<float>{0, 4, 0, -4}));
  EXPECT_EQ(encoded.residual, (std::vector<float>{0, -1, 0, -1}));
}

TEST(Sign, TakesOneBitAnElementTwoWithZerosAndNoneForZerosAlone) {
  const SignCodec codec({.block = 64});
  std::vector<float> x(128, 1.0f);
  EXPECT_EQ(encode(codec, layer_of(128), x).payload.size(), 2u * (4 + 8));
  x[70] = 0;
  EXPECT_EQ(encode(codec, layer_of(128), x).payload.size(), 4u + 8 + 4 + 16);
  EXPECT_EQ(encode(codec, layer_of(128), std::vector<float>(128, 0.0f)).payload.size(), 2u * 4);
  EXPECT_EQ(codec.traits(layer_of(128)).worst_bytes, 2u * (4 + 16));
}

// |a|_1^2 / (n |a|_2^2): 1 for equal magnitudes, about 2 / pi for normal ones, 1 / n for one that outweighs all others.
TEST(Sign, ContractsByTheShareOfTheMeanMagnitude) {
  constexpr size_t kElems = 1024;
  const SignCodec codec({.block = kElems});
  const auto kept = [&](const std::vector<float>& a) {
    const Encoded encoded = encode(codec, layer_of(kElems), a, std::vector<float>(kElems, 0.0f));
    return 1 - square_sum(encoded.residual) / square_sum(a);
  };
  EXPECT_EQ(kept(std::vector<float>(kElems, -0.25f)), 1);
  EXPECT_NEAR(kept(normal_values(kElems, 1)), 2 / std::numbers::pi, 0.05);
  std::vector<float> outlier(kElems, 1e-20f);
  outlier[5] = 1;
  EXPECT_NEAR(kept(outlier), 1.0 / kElems, 1e-6);
  EXPECT_NEAR(codec.traits(layer_of(5000)).delta, 1.0 / kElems, 1e-12);
}

TEST(Sign, NeverRoundsAScaleToZero) {
  constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
  std::vector<float> x(1000, 0.0f);
  x[3] = kSmallest;
  x[4] = -kSmallest;
  EXPECT_EQ(round_trip(SignCodec({}), x), x);
}

// 5 elements: the scale at 0, then zero bits where there are any, then sign bits.
std::string refusal(std::vector<float> x, size_t at, std::initializer_list<uint8_t> bytes, size_t surplus_bytes = 0) {
  const SignCodec codec({.block = 8});
  Payload payload = encode(codec, layer_of(5), x).payload;
  for (const uint8_t byte : bytes) payload[at++] = std::byte{byte};
  payload.resize(payload.size() + surplus_bytes);
  try {
    decode(codec, layer_of(5), payload);
  } catch (const CorruptData& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Sign, SaysWhatIsWrongWithAPayload) {
  const std::string layer = "sign payload of layer 3: ", block = layer + "block 0: ";
  const std::vector<float> plain{1, -3, 0.5, 3, 1}, zeros{1, 0, -2, 0, 0};
  EXPECT_EQ(refusal(plain, 0, {}), "accepted");
  EXPECT_EQ(refusal(zeros, 0, {}), "accepted");
  EXPECT_EQ(refusal(plain, 0, {0, 0, 0x80, 0x7f}), block + "scale is not finite");
  EXPECT_EQ(refusal(plain, 0, {0, 0, 0, 0x80}), block + "scale is -0");
  EXPECT_EQ(refusal(plain, 0, {0, 0, 0x80, 0xbf}), block + "payload ends within the bits");
  EXPECT_EQ(refusal(plain, 4, {0x20}), block + "padding is not 0");
  EXPECT_EQ(refusal(zeros, 4, {0x3a}), block + "padding is not 0");
  EXPECT_EQ(refusal(zeros, 5, {0x06}), block + "a zero has a sign");
  EXPECT_EQ(refusal(zeros, 4, {0x00}), block + "zeros are announced, but there are none");
  EXPECT_EQ(refusal(zeros, 4, {0x1f, 0x00}), block + "all are zero, but there is a scale");
  EXPECT_EQ(refusal(plain, 0, {0, 0, 0, 0}), layer + "1 bytes follow the last block");
  EXPECT_EQ(refusal(plain, 0, {}, 2), layer + "2 bytes follow the last block");
}

TEST(SignKernels, EqualTheReferenceOnEveryTarget) {
  test::on_every_target([] {
    for (const size_t elems : {1, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1024, 1027}) {
      for (const Input& input : hurtful_inputs(elems)) {
        SCOPED_TRACE(input.name + ", " + std::to_string(elems) + " elements");
        const std::vector<float>& a = input.values;
        const auto magnitudes = sign_kernels::magnitudes_of(a), expected = sign_reference::magnitudes_of(a);
        ASSERT_EQ(magnitudes.sum, expected.sum);
        ASSERT_EQ(magnitudes.nonzero, expected.nonzero);
        const size_t bytes = (elems + 7) / 8;
        Payload zeros(bytes), expected_zeros(bytes), signs(bytes), expected_signs(bytes);
        sign_kernels::zero_bits(a, zeros.data());
        sign_reference::zero_bits(a, expected_zeros.data());
        ASSERT_EQ(zeros, expected_zeros);
        std::vector<float> left = a, expected_left = a;
        sign_kernels::sign_bits(0.7f, left, signs.data());
        sign_reference::sign_bits(0.7f, expected_left, expected_signs.data());
        ASSERT_EQ(signs, expected_signs);
        ASSERT_EQ(bits_of(left), bits_of(expected_left));
        for (const std::byte* some_zeros : {static_cast<const std::byte*>(nullptr), static_cast<const std::byte*>(zeros.data())}) {
          std::vector<float> out = normal_values(elems, 3), expected_out = out;
          sign_kernels::add_values(0.7f, signs.data(), some_zeros, -0.37f, out);
          sign_reference::add_values(0.7f, signs.data(), some_zeros, -0.37f, expected_out);
          ASSERT_EQ(bits_of(out), bits_of(expected_out));
        }
      }
    }
  });
}

}  // namespace
}  // namespace thinwire::compressors
