// What compressors/codec.h promises, held against every codec of the registry under several options.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

class Conformance : public ::testing::TestWithParam<Variant> {
 protected:
  std::shared_ptr<const Codec> codec = make(GetParam());

  template <class F>
  void for_each_input(F&& f) const {
    for (const size_t elems : awkward_sizes()) {
      for (const Input& input : hurtful_inputs(elems)) {
        SCOPED_TRACE(input.name + ", " + std::to_string(elems) + " elements");
        f(layer_of(elems), input.values);
        if (HasFailure()) return;
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Codecs, Conformance, ::testing::ValuesIn(all_variants()), test_name);

TEST_P(Conformance, CarriesTheNameItIsRegisteredUnder) { EXPECT_EQ(codec->name(), GetParam().codec); }

TEST_P(Conformance, WritesAsManyBytesAsItsTraitsSay) {
  for_each_input([&](Layer layer, const std::vector<float>& x) {
    const Traits traits = codec->traits(layer);
    const size_t written = encode(*codec, layer, x).payload.size();
    EXPECT_LE(written, traits.worst_bytes);
    EXPECT_EQ(written, traits.exact_bytes.value_or(written));
    EXPECT_EQ(written == 0, layer.elems() == 0);
  });
}

TEST_P(Conformance, SeesALayerAsItsFlattenedElements) {
  const std::vector<float> x = normal_values(60, 1);
  const Payload flat = encode(*codec, {.id = 3, .rows = 1, .cols = 60}, x).payload;
  EXPECT_EQ(encode(*codec, {.id = 3, .rows = 5, .cols = 12}, x).payload, flat);
}

TEST_P(Conformance, EncodesTwiceToTheSameBytes) {
  for_each_input([&](Layer layer, const std::vector<float>& x) {
    const Encoded first = encode(*codec, layer, x, x, 0.25f, 0.5f), second = encode(*codec, layer, x, x, 0.25f, 0.5f);
    EXPECT_EQ(first.payload, second.payload);
    EXPECT_EQ(bits_of(first.residual), bits_of(second.residual));
  });
}

TEST_P(Conformance, KeepsItsErrorBound) {
  for_each_input([&](Layer layer, const std::vector<float>& a) {
    const Traits traits = codec->traits(layer);
    EXPECT_LE(traits.delta, 1);
    const std::vector<float> decoded = decode(*codec, layer, encode(*codec, layer, a).payload);
    double error = 0;
    for (size_t i = 0; i < a.size(); ++i) error += std::pow(static_cast<double>(a[i]) - decoded[i], 2);
    const double bound = (1 - traits.delta) * square_sum(a) + static_cast<double>(a.size()) * traits.error_floor * traits.error_floor;
    EXPECT_LE(error, bound * (1 + 1e-12));  // the sums themselves are rounded
  });
}

TEST_P(Conformance, LeavesTheResidualOfTheTwoStepReference) {
  const float scale = -0.37f, decay = 0.95f;
  for_each_input([&](Layer layer, const std::vector<float>& x) {
    std::vector<float> before = normal_values(x.size(), 5);
    for (size_t i = 0; i < x.size(); ++i) before[i] *= std::min(std::fabs(x[i]), 1e30f);
    const Encoded fused = encode(*codec, layer, x, before, scale, decay);

    std::vector<float> a(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const volatile float kept = decay * before[i], fresh = scale * x[i];  // volatile: rounded to fp32 one by one, whatever the compiler
      a[i] = kept + fresh;
    }
    const Payload payload = encode(*codec, layer, a).payload;
    const std::vector<float> decoded = decode(*codec, layer, payload);
    std::vector<float> residual(x.size());
    for (size_t i = 0; i < x.size(); ++i) residual[i] = a[i] - decoded[i];
    EXPECT_EQ(fused.payload, payload);
    EXPECT_EQ(fused.residual, residual);  // floats are equal bit for bit, but for the sign of a zero: decoding adds to +0
  });
}

// An infinite one would never leave; next to the largest fp32, a value may be rounded to the far side of 0.
TEST_P(Conformance, LeavesAFiniteResidual) {
  for_each_input([&](Layer layer, const std::vector<float>& a) {
    const Encoded encoded = encode(*codec, layer, a, std::vector<float>(a.size(), 0.0f));
    const std::vector<float> decoded = decode(*codec, layer, encoded.payload);
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(encoded.residual[i], std::clamp(a[i] - decoded[i], -kLargest, kLargest)) << i << " of " << a.size();
    }
  });
}

TEST_P(Conformance, ScalesWithoutAResidual) {
  const std::vector<float> x = normal_values(100, 1);
  std::vector<float> scaled = x;
  for (float& value : scaled) value *= 0.3f;
  EXPECT_EQ(encode(*codec, layer_of(100), x, std::nullopt, 0.3f).payload, encode(*codec, layer_of(100), scaled).payload);
}

TEST_P(Conformance, AddsTheWeightedValuesToWhatIsThere) {
  const Layer layer = layer_of(197);
  const Payload payload = encode(*codec, layer, normal_values(197, 1)).payload;
  const std::vector<float> decoded = decode(*codec, layer, payload), base = normal_values(197, 2);
  std::vector<float> out = base, expected = base;
  decode_add(*codec, layer, payload, 0.3f, out);
  for (size_t i = 0; i < out.size(); ++i) {
    const volatile float product = 0.3f * decoded[i];
    expected[i] += product;
  }
  EXPECT_EQ(bits_of(out), bits_of(expected));
}

// Nothing is ever lost: sum of decoded + e_T = sum of inputs + e_0. Only the sum a = e + x rounds, by 2^-24 |a|; a - decoded may, by as
// much.
TEST_P(Conformance, ConservesMassOverFiftySteps) {
  constexpr size_t kElems = 197;
  const Layer layer = layer_of(kElems);
  std::vector<float> residual = normal_values(kElems, 99);
  std::vector<double> in(residual.begin(), residual.end()), out(kElems), slack(kElems, 1e-300);
  for (uint64_t step = 0; step < 50; ++step) {
    const std::vector<float> x = normal_values(kElems, step);
    for (size_t i = 0; i < kElems; ++i) slack[i] += 0x1p-23 * std::fabs(static_cast<double>(residual[i]) + x[i]);
    Encoded encoded = encode(*codec, layer, x, residual);
    const std::vector<float> decoded = decode(*codec, layer, encoded.payload);
    for (size_t i = 0; i < kElems; ++i) {
      in[i] += x[i];
      out[i] += decoded[i];
    }
    residual = std::move(encoded.residual);
  }
  for (size_t i = 0; i < kElems; ++i) EXPECT_NEAR(out[i] + residual[i], in[i], slack[i]) << "element " << i;
}

// Traits::split_elems: pieces cut at its multiples are layers of their own. Without draws, which count from a piece's beginning.
TEST_P(Conformance, DecodesPiecesToTheWhole) {
  const size_t step = codec->traits(layer_of(1)).split_elems;
  ASSERT_TRUE(step > 0 || codec->traits(layer_of(1)).combine != Combine::reencode);
  if (step == 0 || std::ranges::count(GetParam().options, "rounding=stochastic") > 0) return;
  const size_t elems = std::min<size_t>(3 * step + 5, 70000);
  const std::vector<float> whole = normal_values(elems, 1);
  const std::vector<float> decoded = decode(*codec, layer_of(elems), encode(*codec, layer_of(elems), whole).payload);
  for (size_t cut = 0; cut <= elems; cut += step) {
    const auto middle = whole.begin() + static_cast<std::ptrdiff_t>(cut);
    std::vector<float> joined = decode(*codec, layer_of(cut), encode(*codec, layer_of(cut), {whole.begin(), middle}).payload);
    const Layer rest = layer_of(elems - cut);
    std::ranges::copy(decode(*codec, rest, encode(*codec, rest, {middle, whole.end()}).payload), std::back_inserter(joined));
    EXPECT_EQ(bits_of(joined), bits_of(decoded)) << "cut at " << cut;
  }
}

// One call with an element that is not finite: the error's text, after checking that nothing was written.
std::string refusal(const Codec& codec, const std::vector<float>& x, std::vector<float> residual, float scale = 1) {
  const Layer layer = layer_of(x.size());
  const Traits traits = codec.traits(layer);
  Payload out(traits.worst_bytes, std::byte{0xa5});
  std::vector<std::max_align_t> scratch(traits.scratch_bytes / sizeof(std::max_align_t) + 5);
  Context context{.scratch = std::as_writable_bytes(std::span(scratch))};
  const std::vector<float> residual_before = residual;
  std::string message;
  try {
    codec.encode(layer, {.x = x.data(), .scale = scale, .residual = residual.data()}, context, out.data());
  } catch (const NonFiniteError& error) {
    message = error.what();
  }
  EXPECT_EQ(out, Payload(traits.worst_bytes, std::byte{0xa5}));
  EXPECT_EQ(bits_of(residual), bits_of(residual_before));
  return message;
}

TEST_P(Conformance, RefusesWhatIsNotFiniteAndTouchesNothing) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> fine = normal_values(5000, 1), residual = normal_values(5000, 2);
  for (const size_t at : {0, 17, 4096, 4999}) {
    const std::string prefix = "element " + std::to_string(at) + " of layer 3 is ";
    for (const auto& [value, kind] : {std::pair(kNan, "nan"), std::pair(-kNan, "nan"), std::pair(kInf, "inf"), std::pair(-kInf, "-inf")}) {
      std::vector<float> bad = fine;
      bad[at] = value;
      EXPECT_EQ(refusal(*codec, bad, residual), prefix + kind);
      bad = residual;
      bad[at] = value;
      EXPECT_EQ(refusal(*codec, fine, bad), prefix + kind) << "in the residual";
    }
  }
}

TEST_P(Conformance, RefusesFiniteInputsWhoseSumOverflows) {
  std::vector<float> x = normal_values(40, 1), residual = normal_values(40, 2);
  x[17] = 3e38f;
  EXPECT_EQ(refusal(*codec, x, residual, 2), "element 17 of layer 3 is inf");
  x[17] = residual[17] = -2e38f;
  EXPECT_EQ(refusal(*codec, x, residual), "element 17 of layer 3 is -inf");
}

}  // namespace
}  // namespace thinwire::compressors
