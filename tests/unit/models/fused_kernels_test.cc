// The fused kernels against their plain reference, to the last bit, on every SIMD target of this machine; the reference against double.
#include "models/fused/attention_kernels.h"
#include "models/fused/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/draw.h"
#include "tests/support/targets.h"

namespace thinwire::models::fused {
namespace {

using Floats = std::vector<float>;

Floats normals(size_t count, const char* name, double scale = 1) {
  Floats values(count);
  const Draw draw = Draw(7).fork(name);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(scale * draw.normal(i));
  return values;
}

void expect_same_bits(const Floats& got, const Floats& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    uint32_t a = 0, b = 0;
    std::memcpy(&a, &got[i], 4);
    std::memcpy(&b, &expected[i], 4);
    ASSERT_EQ(a, b) << "element " << i << ": " << got[i] << " and " << expected[i];
  }
}

// Widths around the lanes, so that vectors and ends of rows meet; an offset of one float, so that no row is aligned.
const std::vector<size_t> kWidths = {1, 5, 15, 16, 17, 31, 33, 64, 224, 257};

TEST(Exponential, IsWithinItsBoundAndEndsInZero) {
  for (int i = 0; i <= 200'000; ++i) {
    const auto x = static_cast<float>(-87.33 * i / 200'000);
    const double expected = std::exp(static_cast<double>(x));
    ASSERT_LE(std::abs(reference::exp_of_nonpositive(x) - expected), expected * std::ldexp(1.0, -22)) << x;
  }
  EXPECT_EQ(reference::exp_of_nonpositive(0), 1);
  EXPECT_EQ(reference::exp_of_nonpositive(-88), 0);
  EXPECT_EQ(reference::exp_of_nonpositive(-std::numeric_limits<float>::infinity()), 0);
  EXPECT_TRUE(std::isnan(reference::exp_of_nonpositive(std::numeric_limits<float>::quiet_NaN())));
}

struct NormResult {
  Floats h, y, scale, dx, dweight;
};
template <class Forward, class Backward>
NormResult norm_with(Forward&& forward, Backward&& backward, Shape shape, bool adds) {
  const size_t count = shape.rows * shape.cols;
  const Floats x = normals(count + 1, "x"), delta = normals(count, "delta"), weight = normals(shape.cols, "weight");
  const Floats dy = normals(count, "dy"), dh = normals(count, "dh");
  NormResult r{Floats(count), Floats(count), Floats(shape.rows), Floats(count), normals(shape.cols, "before")};
  forward(shape, Norm{x.data() + 1, adds ? delta.data() : nullptr, weight.data(), 1e-5f, r.h.data(), r.y.data(), r.scale.data()});
  backward(shape, NormBackward{dy.data(), adds ? dh.data() : nullptr, adds ? r.h.data() : x.data() + 1, weight.data(), r.scale.data(),
                               r.dx.data(), r.dweight.data()});
  return r;
}

TEST(FusedKernels, NormsHaveTheBitsOfTheReference) {
  for (const size_t cols : kWidths) {
    for (const bool adds : {false, true}) {
      const auto expected = norm_with(reference::rms_norm, reference::rms_norm_backward, {3, cols}, adds);
      test::on_every_target([&] {
        const auto got = norm_with(rms_norm, rms_norm_backward, {3, cols}, adds);
        expect_same_bits(got.h, expected.h);
        expect_same_bits(got.y, expected.y);
        expect_same_bits(got.scale, expected.scale);
        expect_same_bits(got.dx, expected.dx);
        expect_same_bits(got.dweight, expected.dweight);
      });
    }
  }
}

TEST(FusedKernels, SwigluHasTheBitsOfTheReference) {
  for (const size_t count : kWidths) {
    const Floats gate = normals(count + 1, "gate", 8), up = normals(count, "up"), dout = normals(count, "dout");
    Floats out(count), dgate(count), dup(count), out2(count), dgate2(count), dup2(count);
    reference::swiglu(count, gate.data() + 1, up.data(), out.data());
    reference::swiglu_backward(count, dout.data(), gate.data() + 1, up.data(), dgate.data(), dup.data());
    test::on_every_target([&] {
      swiglu(count, gate.data() + 1, up.data(), out2.data());
      swiglu_backward(count, dout.data(), gate.data() + 1, up.data(), dgate2.data(), dup2.data());
      expect_same_bits(out2, out);
      expect_same_bits(dgate2, dgate);
      expect_same_bits(dup2, dup);
    });
  }
}

TEST(FusedKernels, SwigluOfHugeNumbersIsItsLimit) {
  const float huge = 1e30f;
  const Floats gate = {huge, -huge, 0.0f, -0.0f}, up = {2, 2, 2, 2};
  Floats out(4);
  test::on_every_target([&] {
    swiglu(4, gate.data(), up.data(), out.data());
    EXPECT_EQ(out[0], 2 * huge);
    EXPECT_EQ(out[1], 0);
    EXPECT_EQ(out[2], 0);
    EXPECT_EQ(out[3], 0);
  });
}

TEST(FusedKernels, RotationsHaveTheBitsOfTheReferenceAndTurnBack) {
  for (const size_t half : {1, 3, 8, 16, 19, 32}) {
    constexpr size_t kTokens = 7, kHeads = 3, kContext = 5;
    const size_t count = kTokens * kHeads * 2 * half;
    Floats cos(kContext * 2 * half), sin(cos.size());
    for (size_t i = 0; i < cos.size(); ++i) {
      cos[i] = static_cast<float>(std::cos(0.1 * static_cast<double>(i)));
      sin[i] = static_cast<float>(std::sin(0.1 * static_cast<double>(i)));
    }
    const Floats x = normals(count + 1, "x");
    const Rotation r{kTokens, kHeads, half, 2, kContext, cos.data(), sin.data()};
    Floats expected(count), got(count), back(count);
    reference::rotate(r, Turn::forward, x.data() + 1, expected.data());
    test::on_every_target([&] {
      rotate(r, Turn::forward, x.data() + 1, got.data());
      expect_same_bits(got, expected);
      rotate(r, Turn::back, got.data(), back.data());
      for (size_t i = 0; i < count; ++i) ASSERT_NEAR(back[i], x[i + 1], 2e-6) << i;
    });
  }
}

TEST(FusedKernels, CrossEntropyHasTheBitsOfTheReference) {
  for (const size_t cols : kWidths) {
    const Floats scores = normals(3 * cols + 1, "scores", 20);
    const std::vector<int64_t> targets = {0, static_cast<int64_t>(cols) - 1, static_cast<int64_t>(cols) / 2};
    Floats expected(3 * cols), got(3 * cols);
    std::vector<double> loss(3), loss_again(3), loss_alone(3);
    reference::cross_entropy({3, cols}, scores.data() + 1, targets.data(), 0.25f, loss.data(), expected.data());
    test::on_every_target([&] {
      cross_entropy({3, cols}, scores.data() + 1, targets.data(), 0.25f, loss_again.data(), got.data());
      cross_entropy({3, cols}, scores.data() + 1, targets.data(), 0.25f, loss_alone.data(), nullptr);
      expect_same_bits(got, expected);
      EXPECT_EQ(loss_again, loss);
      EXPECT_EQ(loss_alone, loss);
    });
  }
}

TEST(FusedKernels, OneBadScoreAnywhereShowsInTheLoss) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {0, 3, 16, 36}) {
      Floats scores = normals(37, "scores"), gradient(37);
      scores[at] = bad;
      const int64_t target = 5;
      test::on_every_target([&] {
        double loss = 0;
        cross_entropy({1, 37}, scores.data(), &target, 1, &loss, gradient.data());
        EXPECT_FALSE(std::isfinite(loss)) << bad << " at " << at;
      });
    }
  }
}

struct AttentionResult {
  std::vector<double> out, dq, dk, dv;
};

// The definition in double, with the matrix of all weights.
AttentionResult attention_by_definition(size_t tokens, size_t width, const Floats& q, const Floats& k, const Floats& v,
                                        const Floats& dout) {
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  AttentionResult r{std::vector<double>(q.size()), std::vector<double>(q.size()), std::vector<double>(q.size()),
                    std::vector<double>(q.size())};
  for (size_t i = 0; i < tokens; ++i) {
    std::vector<double> weight(i + 1), slope(i + 1);
    double total = 0, mean = 0;
    for (size_t j = 0; j <= i; ++j) {
      for (size_t c = 0; c < width; ++c) weight[j] += scale * q[i * width + c] * k[j * width + c];
      total += weight[j] = std::exp(weight[j]);
    }
    for (size_t j = 0; j <= i; ++j) {
      weight[j] /= total;
      for (size_t c = 0; c < width; ++c) {
        r.out[i * width + c] += weight[j] * v[j * width + c];
        r.dv[j * width + c] += weight[j] * dout[i * width + c];
        slope[j] += static_cast<double>(dout[i * width + c]) * v[j * width + c];
      }
      mean += weight[j] * slope[j];
    }
    for (size_t j = 0; j <= i; ++j) {
      for (size_t c = 0; c < width; ++c) {
        r.dq[i * width + c] += weight[j] * (slope[j] - mean) * scale * k[j * width + c];
        r.dk[j * width + c] += weight[j] * (slope[j] - mean) * scale * q[i * width + c];
      }
    }
  }
  return r;
}

void expect_near(const Floats& got, const std::vector<double>& expected, const char* what) {
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-5) << what << ", element " << i;
}

TEST(AttentionKernels, AreTheDefinitionOnEveryTarget) {
  for (const size_t tokens : {1, 15, 16, 17, 70}) {
    for (const size_t width : {2, 8, 16, 33, 64}) {
      const size_t count = tokens * width;
      const Floats q = normals(count, "q"), k = normals(count, "k"), v = normals(count, "v"), dout = normals(count, "dout");
      const auto expected = attention_by_definition(tokens, width, q, k, v, dout);
      test::on_every_target([&] {
        Floats out(count), log_total(tokens), dq(count), dk(count), dv(count);
        const Head head{
            tokens,           width, static_cast<float>(1 / std::sqrt(static_cast<double>(width))), {q.data(), width}, {k.data(), width},
            {v.data(), width}};
        attend(head, {out.data(), width}, log_total.data());
        attend_backward(
            head,
            {{out.data(), width}, {dout.data(), width}, log_total.data(), {dq.data(), width}, {dk.data(), width}, {dv.data(), width}});
        expect_near(out, expected.out, "out");
        expect_near(dq, expected.dq, "dq");
        expect_near(dk, expected.dk, "dk");
        expect_near(dv, expected.dv, "dv");
      });
    }
  }
}

}  // namespace
}  // namespace thinwire::models::fused
