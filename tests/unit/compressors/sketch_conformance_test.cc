// What compressors/sketch.h promises, held against every sketch of the registry under several options.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sketch_support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

Layer matrix_of(int64_t rows, int64_t cols) { return {.id = 3, .rows = rows, .cols = cols}; }

const std::vector<Layer>& awkward_shapes() {
  static const std::vector<Layer> shapes{matrix_of(0, 0),   matrix_of(1, 0),  matrix_of(0, 5),  matrix_of(1, 1),
                                         matrix_of(1, 97),  matrix_of(63, 1), matrix_of(2, 2),  matrix_of(3, 17),
                                         matrix_of(16, 16), matrix_of(69, 7), matrix_of(20, 50)};
  return shapes;
}

class SketchConformance : public ::testing::TestWithParam<Variant> {
 protected:
  std::shared_ptr<const Sketch> sketch = make_sketch(GetParam());

  template <class F>
  void for_each_input(F&& f) const {
    for (const Layer layer : awkward_shapes()) {
      for (const Input& input : hurtful_inputs(static_cast<size_t>(layer.elems()))) {
        SCOPED_TRACE(input.name + ", " + std::to_string(layer.rows) + " x " + std::to_string(layer.cols));
        f(layer, input.values);
        if (HasFailure()) return;
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Sketches, SketchConformance, ::testing::ValuesIn(all_sketch_variants()), test_name);

bool all_finite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

// Alike up to the rounding of sums of fp32 numbers as large as `scale`, and of denormal ones.
void expect_close(const std::vector<float>& a, const std::vector<float>& b, double scale) {
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5 * scale + 1e-41) << "element " << i;
}

double largest_of(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  return largest;
}

TEST_P(SketchConformance, CarriesTheNameItIsRegisteredUnder) { EXPECT_EQ(sketch->name(), GetParam().codec); }

TEST_P(SketchConformance, CountsTheBytesOfItsRounds) {
  for (const Layer layer : awkward_shapes()) {
    const std::vector<size_t> rounds = sketch->round_elems(layer);
    ASSERT_GE(rounds.size(), 1u);
    const Traits traits = sketch->traits(layer);
    EXPECT_EQ(traits.combine, Combine::sketch);
    EXPECT_EQ(traits.worst_bytes, 4 * std::accumulate(rounds.begin(), rounds.end(), size_t{0}));
    EXPECT_EQ(traits.exact_bytes, traits.worst_bytes);
    EXPECT_EQ(traits.split_elems, 0u);
    EXPECT_LE(traits.delta, 1);
    EXPECT_EQ(traits.worst_bytes == 0, layer.elems() == 0);
  }
}

TEST_P(SketchConformance, KeepsItsErrorBoundWhateverOtherRanksHold) {
  for_each_input([&](Layer layer, const std::vector<float>& a) {
    const Traits traits = sketch->traits(layer);
    SketchRanks ranks(sketch, layer, 2);
    std::vector<float> other = normal_values(a.size(), 4);
    const float small = static_cast<float>(1e-3 * largest_of(a));
    for (float& value : other) value *= small;
    for (int exchange = 0; exchange < 3; ++exchange) {
      const Exchanged exchanged = ranks.exchange({a, other});
      for (const auto& [input, own] : {std::pair(a, exchanged.own[0]), std::pair(other, exchanged.own[1])}) {
        const double floor = static_cast<double>(a.size()) * traits.error_floor * traits.error_floor;
        EXPECT_LE(squared_distance(input, own), ((1 - traits.delta) * square_sum(input) + floor) * (1 + 1e-12));
      }
    }
  });
}

TEST_P(SketchConformance, StaysFiniteThroughEveryInputAndWhatFollowsIt) {
  for_each_input([&](Layer layer, const std::vector<float>& a) {
    SketchRanks ranks(sketch, layer, 3);
    const std::vector<float> zero(a.size(), 0.0f), normal = normal_values(a.size(), 8);
    for (const auto& input : {a, zero, a, normal}) {
      const Exchanged exchanged = ranks.exchange({input, input, input});
      EXPECT_TRUE(all_finite(exchanged.all));
      for (const auto& own : exchanged.own) EXPECT_TRUE(all_finite(own));
      EXPECT_TRUE(all_finite(ranks.memory(0)));
    }
  });
}

TEST_P(SketchConformance, DecodesTheMeanToTheMeanOfOwnDecodes) {
  for_each_input([&](Layer layer, const std::vector<float>& a) {
    if (largest_of(a) > 1e38) return;  // where own values are limited to fp32, nothing is linear
    SketchRanks ranks(sketch, layer, 3);
    std::vector<std::vector<float>> inputs;
    for (uint64_t rank = 0; rank < 3; ++rank) {
      inputs.push_back(normal_values(a.size(), 20 + rank));
      for (size_t i = 0; i < a.size(); ++i) inputs.back()[i] *= a[i];
    }
    const Exchanged exchanged = ranks.exchange(inputs);
    std::vector<float> mean(a.size());
    double scale = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      mean[i] = static_cast<float>((static_cast<double>(exchanged.own[0][i]) + exchanged.own[1][i] + exchanged.own[2][i]) / 3);
    }
    for (const auto& input : inputs) scale = std::max(scale, std::sqrt(square_sum(input)));
    const double enlarged = std::max(1.0, std::sqrt(std::max(0.0, 1 - sketch->traits(layer).delta)));
    expect_close(exchanged.all, mean, scale * enlarged);
  });
}

TEST_P(SketchConformance, DecodesLinearlyOntoWhatIsThere) {
  for (const Layer layer : awkward_shapes()) {
    const size_t elems = static_cast<size_t>(layer.elems()), last = sketch->round_elems(layer).back();
    Scratch scratch(sketch->traits(layer).scratch_bytes);
    std::vector<float> memory(sketch->memory_elems(layer));
    sketch->start(layer, Draw(3), memory);
    const auto decoded = [&](const std::vector<float>& part, float weight, std::vector<float> out) {
      sketch->decode_add(layer, part, memory, weight, out.data(), scratch.context);
      return out;
    };
    const std::vector<float> x = normal_values(last, 1), y = normal_values(last, 2), base = normal_values(elems, 3);
    std::vector<float> sum(last);
    for (size_t i = 0; i < last; ++i) sum[i] = x[i] + y[i];
    const std::vector<float> together = decoded(y, 0.3f, decoded(x, 0.3f, base));
    const double scale = 1 + largest_of(together);
    expect_close(decoded(sum, 0.3f, base), together, scale);
    EXPECT_EQ(decoded(std::vector<float>(last, 0.0f), 1, base), base);
  }
}

TEST_P(SketchConformance, KeepsOneMemoryOnAllRanksAndRepeatsToTheBit) {
  for_each_input([&](Layer layer, const std::vector<float>& a) {
    const std::vector<float> other = normal_values(a.size(), 5);
    SketchRanks ranks(sketch, layer, 2), again(sketch, layer, 2);
    EXPECT_EQ(bits_of(ranks.memory(0)), bits_of(ranks.memory(1))) << "as started";
    for (int exchange = 0; exchange < 3; ++exchange) {
      const Exchanged first = ranks.exchange({a, other}), second = again.exchange({a, other});
      EXPECT_EQ(bits_of(first.all), bits_of(second.all));
      EXPECT_EQ(bits_of(first.own[1]), bits_of(second.own[1]));
      EXPECT_EQ(bits_of(ranks.memory(0)), bits_of(ranks.memory(1)));
      EXPECT_EQ(bits_of(ranks.memory(0)), bits_of(again.memory(0)));
    }
  });
}

// Means come from peers: whatever finite numbers they are, nothing that stays or is decoded may be anything else.
TEST_P(SketchConformance, TurnsEveryFiniteMeanIntoFiniteNumbers) {
  for (const Layer layer : awkward_shapes()) {
    const std::vector<size_t> rounds = sketch->round_elems(layer);
    Scratch scratch(sketch->traits(layer).scratch_bytes);
    for (size_t kind = 0; kind < hurtful_inputs(1).size(); ++kind) {
      std::vector<float> memory(sketch->memory_elems(layer)), out(static_cast<size_t>(layer.elems()), 0.0f), mean;
      sketch->start(layer, Draw(1), memory);
      for (size_t round = 0; round < rounds.size(); ++round) {
        mean = hurtful_inputs(rounds[round])[kind].values;
        sketch->absorb(layer, static_cast<int>(round), mean, memory, scratch.context);
      }
      sketch->decode_add(layer, mean, memory, 1, out.data(), scratch.context);
      EXPECT_TRUE(all_finite(memory));
      EXPECT_TRUE(all_finite(out));
    }
  }
}

// With residuals a - own, on the mean over ranks: sum of decoded + e_T = sum of inputs + e_0, as all is the mean of own. Each exchange
// rounds by some 1e-6 of the largest numbers about.
TEST_P(SketchConformance, ConservesTheMeanOverFiftyExchangesWithErrorFeedback) {
  constexpr size_t kRanks = 3;
  const Layer layer = matrix_of(20, 33);
  if (sketch->traits(layer).delta < -1) return;  // enlarges its input: for use without error feedback
  const size_t elems = static_cast<size_t>(layer.elems());
  SketchRanks ranks(sketch, layer, kRanks);
  std::vector<std::vector<float>> residuals(kRanks, normal_values(elems, 99));
  std::vector<double> in(residuals[0].begin(), residuals[0].end()), out(elems);
  double slack = 0;
  for (uint64_t step = 0; step < 50; ++step) {
    std::vector<std::vector<float>> a = residuals;
    for (size_t rank = 0; rank < kRanks; ++rank) {
      const std::vector<float> x = normal_values(elems, 100 + kRanks * step + rank);
      for (size_t i = 0; i < elems; ++i) {
        a[rank][i] += x[i];
        in[i] += static_cast<double>(x[i]) / kRanks;
      }
      slack += 1e-6 * largest_of(a[rank]);
    }
    const Exchanged exchanged = ranks.exchange(a);
    for (size_t i = 0; i < elems; ++i) out[i] += exchanged.all[i];
    for (size_t rank = 0; rank < kRanks; ++rank) {
      for (size_t i = 0; i < elems; ++i) residuals[rank][i] = a[rank][i] - exchanged.own[rank][i];
    }
  }
  for (size_t i = 0; i < elems; ++i) {
    const double left = (static_cast<double>(residuals[0][i]) + residuals[1][i] + residuals[2][i]) / kRanks;
    ASSERT_NEAR(out[i] + left, in[i], slack) << "element " << i;
  }
}

}  // namespace
}  // namespace thinwire::compressors
