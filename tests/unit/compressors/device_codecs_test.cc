// What compressors/device_codec.h promises: every codec on a device gives the bytes and the bits of the host's. Held against the codecs of
// the registry twice: with the host's codec in the device's place, on streams whose work is done late, and on a GPU where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device_support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

struct Case {
  Variant variant;
  bool on_gpu = false;
};
void PrintTo(const Case& one, std::ostream* out) { PrintTo(one.variant, out); }

// The stand-in takes each codec once, as it has nothing of its own to it. A GPU takes them under all options that have kernels; without one
// there is a case that says why it is skipped.
std::vector<Case> hosted_cases() {
  std::vector<Case> all;
  for (const Variant& variant : all_variants()) {
    if (variant.options.empty()) all.push_back({variant, false});
  }
  return all;
}
std::vector<Case> gpu_cases() {
  if (!cuda::is_available()) return {{all_variants().front(), true}};
  std::vector<Case> all;
  for (const Variant& variant : all_variants()) {
    if (make(variant)->on_device() != nullptr) all.push_back({variant, true});
  }
  return all;
}

class DeviceConformance : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (GetParam().on_gpu && !cuda::is_available()) GTEST_SKIP() << "no GPU: " << cuda::why_unavailable();
    rig = std::make_unique<DeviceRig>(GetParam().variant, GetParam().on_gpu);
  }

  // Host and device encode the same; what the payload decodes to is the same too.
  void expect_as_the_host(Layer layer, const std::vector<float>& x, const std::vector<float>& residual, size_t shift = 0) {
    for (const Residual how : {Residual::none, Residual::in_place, Residual::elsewhere}) {
      SCOPED_TRACE(how == Residual::none ? "no residual" : how == Residual::in_place ? "in place" : "elsewhere");
      const auto expected = rig->host_encode(layer, x, how == Residual::none ? std::nullopt : std::optional(residual));
      if (!expected) continue;  // overflows
      const DeviceEncoded encoded = rig->encode(layer, x, residual, how, shift);
      ASSERT_EQ(encoded.report.fault, DeviceReport::kNoFault);
      ASSERT_EQ(encoded.report.payload_bytes, expected->payload.size());
      ASSERT_EQ(first_difference(encoded.payload, expected->payload), std::nullopt) << "of the payload";
      ASSERT_EQ(first_difference(bits_of(encoded.left), bits_of(expected->residual)), std::nullopt) << "of the residual";
      if (how != Residual::in_place) {
        ASSERT_EQ(bits_of(encoded.residual), bits_of(residual));
      }
    }
    const auto sent = rig->host_encode(layer, x, std::nullopt);
    ASSERT_TRUE(sent);
    for (const float weight : {1.0f, -0.3f}) {
      const auto expected = rig->host_decode_add(layer, sent->payload, weight, residual);
      ASSERT_TRUE(expected);
      const DeviceDecoded decoded = rig->decode_add(layer, sent->payload, weight, residual, shift);
      ASSERT_EQ(decoded.report.fault, DeviceReport::kNoFault);
      ASSERT_EQ(first_difference(bits_of(decoded.out), bits_of(*expected)), std::nullopt) << "of the sum";
    }
  }

  template <class T>
  static std::optional<size_t> first_difference(const std::vector<T>& a, const std::vector<T>& b) {
    const auto [left, right] = std::ranges::mismatch(a, b);
    if (left == a.end() && right == b.end()) return std::nullopt;
    return static_cast<size_t>(left - a.begin());
  }

  static std::vector<float> residual_for(const std::vector<float>& x) {
    std::vector<float> residual = normal_values(x.size(), 5);
    for (size_t i = 0; i < x.size(); ++i) residual[i] = i % 11 == 0 ? -0.0f : residual[i] * std::min(std::fabs(x[i]), 1e30f);
    return residual;
  }

  std::unique_ptr<DeviceRig> rig;
};
std::string name_of(const ::testing::TestParamInfo<Case>& info) { return test_name({info.param.variant, info.index}); }
INSTANTIATE_TEST_SUITE_P(Hosted, DeviceConformance, ::testing::ValuesIn(hosted_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Gpu, DeviceConformance, ::testing::ValuesIn(gpu_cases()), name_of);

// A machine without a GPU is one thing, a module that is broken another: skipping must not hide it.
TEST(CudaModule, LoadsWhereItStandsBesideTheProgram) {
  const std::string why = cuda::why_unavailable();
  EXPECT_EQ(why.find("cannot be loaded"), std::string::npos) << why;
  EXPECT_EQ(why.find("another build"), std::string::npos) << why;
}

TEST_P(DeviceConformance, GivesTheHostsBytesOfInputsThatHurt) {
  for (const size_t elems : awkward_sizes()) {
    for (const Input& input : hurtful_inputs(elems)) {
      SCOPED_TRACE(input.name + ", " + std::to_string(elems) + " elements");
      expect_as_the_host(layer_of(elems), input.values, residual_for(input.values));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(DeviceConformance, GivesTheHostsBytesOfMatrices) {
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{5, 12}, {96, 80}, {64, 64}, {61, 67}, {130, 63}, {1, 9000}, {9000, 1}, {192, 640}}) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(cols));
    const std::vector<float> x = normal_values(static_cast<size_t>(rows * cols), 3);
    expect_as_the_host({.id = 9, .rows = rows, .cols = cols}, x, residual_for(x));
    if (HasFatalFailure()) return;
  }
}

TEST_P(DeviceConformance, GivesTheHostsBytesOfALargeLayer) {
  const Layer layer{.id = 4, .rows = 1089, .cols = 1032};  // more than 2^20 elements, of 33 x 43 blocks
  std::vector<float> x = normal_values(static_cast<size_t>(layer.elems()), 8);
  for (size_t i = 200000; i < 300000; ++i) x[i] = 0;
  expect_as_the_host(layer, x, normal_values(x.size(), 9));
}

TEST_P(DeviceConformance, NeedsNoAlignmentOfFloats) {
  for (const size_t shift : {1, 2, 3}) {
    const std::vector<float> x = normal_values(5000, 3);
    expect_as_the_host(layer_of(x.size()), x, residual_for(x), shift);
  }
}

TEST_P(DeviceConformance, ReportsTheFirstElementThatIsNotFiniteAndKeepsTheResidual) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> fine = normal_values(20000, 1), residual = normal_values(20000, 2);
  const Layer layer = layer_of(fine.size());
  for (const size_t at : {0, 17, 4096, 19999}) {
    for (const float value : {kNan, -kInf}) {
      for (const bool in_residual : {false, true}) {
        std::vector<float> x = fine, r = residual;
        (in_residual ? r : x)[at] = value;
        (in_residual ? r : x)[x.size() - 1] = value;
        const DeviceEncoded in_place = rig->encode(layer, x, r, Residual::in_place);
        EXPECT_EQ(in_place.report.fault, at);
        EXPECT_EQ(bits_of(in_place.residual), bits_of(r));
        EXPECT_EQ(in_place.payload, Payload(in_place.payload.size(), std::byte{0xa5}));
        const DeviceEncoded elsewhere = rig->encode(layer, x, r, Residual::elsewhere);
        EXPECT_EQ(elsewhere.report.fault, at);
        EXPECT_EQ(bits_of(elsewhere.residual), bits_of(r));
        if (!in_residual) {
          EXPECT_EQ(rig->encode(layer, x, r, Residual::none).report.fault, at);
        }
      }
    }
  }
  std::vector<float> x = fine, r = residual;
  x[123] = r[123] = -3.3e38f;  // each is finite: 0.37 x + 0.95 r is not
  x[123] = 3.3e38f;
  EXPECT_EQ(rig->encode(layer, x, r, Residual::in_place).report.fault, 123u);
  expect_as_the_host(layer, fine, residual);  // and is good for use again
}

class DeviceHostileBytes : public DeviceConformance {
 protected:
  static constexpr size_t kElems = 197;

  void SetUp() override {
    DeviceConformance::SetUp();
    if (rig == nullptr) return;
    std::vector<float> x = normal_values(kElems, 1);
    for (size_t i = 90; i < 120; ++i) x[i] = 0;
    good = rig->host_encode(layer, x, std::nullopt)->payload;
  }

  // Accepted with the same sums, or refused as by the host, with `out` left alone.
  void expect_as_the_host_judges(const Payload& payload) {
    const auto expected = rig->host_decode_add(layer, payload, 1, before);
    const DeviceDecoded decoded = rig->decode_add(layer, payload, 1, before);
    EXPECT_EQ(decoded.report.fault == DeviceReport::kNoFault, expected.has_value());
    EXPECT_EQ(bits_of(decoded.out), bits_of(expected.value_or(before)));
  }

  Layer layer = layer_of(kElems);
  std::vector<float> before = normal_values(kElems, 2);
  Payload good;
};
INSTANTIATE_TEST_SUITE_P(Hosted, DeviceHostileBytes, ::testing::ValuesIn(hosted_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Gpu, DeviceHostileBytes, ::testing::ValuesIn(gpu_cases()), name_of);

TEST_P(DeviceHostileBytes, OfAnotherLengthAreRefused) {
  expect_as_the_host_judges(good);
  for (size_t length = 0; length < good.size() && !HasFailure(); ++length) {
    SCOPED_TRACE(length);
    expect_as_the_host_judges(Payload(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)));
  }
  Payload longer = good;
  longer.push_back(std::byte{0});
  expect_as_the_host_judges(longer);
}

TEST_P(DeviceHostileBytes, WithOneByteChangedAreJudgedAsByTheHost) {
  for (size_t at = 0; at < good.size() && !HasFailure(); ++at) {
    for (const uint8_t flip : {0x01, 0x80, 0x7f, 0xff}) {
      SCOPED_TRACE("byte " + std::to_string(at) + " ^ " + std::to_string(flip));
      Payload changed = good;
      changed[at] ^= std::byte{flip};
      expect_as_the_host_judges(changed);
    }
  }
}

TEST_P(DeviceHostileBytes, OfNoMeaningAreJudgedAsByTheHost) {
  for (uint64_t seed = 0; seed < 200 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    const Draw draw(seed);
    Payload garbage(good.size());
    for (size_t i = 0; i < garbage.size(); ++i) garbage[i] = static_cast<std::byte>(draw.bits(i));
    expect_as_the_host_judges(garbage);
  }
  for (const uint8_t fill : {0x00, 0xff}) expect_as_the_host_judges(Payload(good.size(), std::byte{fill}));
}

}  // namespace
}  // namespace thinwire::compressors
