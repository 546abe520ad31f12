// The parts that low-rank sketches are made of: products, bases, and the error of every rank.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compressors/lowrank/basis.h"
#include "compressors/lowrank/error_curve.h"
#include "compressors/lowrank/kernels.h"
#include "compressors/lowrank/symmetric.h"
#include "sketch_support.h"
#include "tests/support/targets.h"

namespace thinwire::compressors {
namespace {

using namespace testing;
using lowrank::Matrix;

struct Size {
  size_t rows, cols, rank;
};
const std::vector<Size> kSizes{{1, 1, 1}, {1, 100, 1}, {5, 3, 2}, {4, 16, 4}, {7, 33, 5}, {8, 48, 8}, {9, 129, 7}, {30, 31, 17}};

TEST(LowRankKernels, MatchTheReferenceToTheBit) {
  test::on_every_target([] {
    for (const auto& [rows, cols, rank] : kSizes) {
      for (const Input& input : hurtful_inputs(rows * cols)) {
        SCOPED_TRACE(input.name + ", " + std::to_string(rows) + " x " + std::to_string(cols) + " rank " + std::to_string(rank));
        const Matrix m{input.values.data(), rows, cols};
        std::vector<float> p = normal_values(rows * rank, 1), q = normal_values(cols * rank, 2);
        for (float& value : p) value *= 0x1p-9f;
        for (float& value : q) value *= 0x1p-9f;
        std::vector<float> fast(rows * rank, 5.0f), plain(rows * rank, 6.0f);
        lowrank::times(m, q.data(), rank, fast.data());
        lowrank::reference::times(m, q.data(), rank, plain.data());
        ASSERT_EQ(bits_of(fast), bits_of(plain)) << "times";
        fast.assign(cols * rank, 5.0f);
        plain.assign(cols * rank, 6.0f);
        lowrank::transposed_times(m, p.data(), rank, fast.data());
        lowrank::reference::transposed_times(m, p.data(), rank, plain.data());
        ASSERT_EQ(bits_of(fast), bits_of(plain)) << "transposed_times";
        const lowrank::Product product{.p = p.data(), .q = fast.data(), .rank = rank, .p_scale = 512, .scale = 8};
        std::vector<float> out(rows * cols, 0.25f), expected = out;
        lowrank::add_product(product, 0.5f, rows, cols, out.data());
        lowrank::reference::add_product(product, 0.5f, rows, cols, expected.data());
        ASSERT_EQ(bits_of(out), bits_of(expected)) << "add_product";
      }
    }
  });
}

TEST(LowRankKernels, MultiplyAsInSchool) {
  const std::vector<float> m{1, 2, 3, 4, 5, 6};  // 2 x 3
  const std::vector<float> q{1, 0, -1, 2, 1, 0}, p{1, 10, 0, -1};
  std::vector<float> mq(4), mtp(6), out(6, 100.0f);
  test::on_every_target([&] {
    lowrank::times({m.data(), 2, 3}, q.data(), 2, mq.data());
    EXPECT_EQ(mq, (std::vector<float>{-2, -2, 4, 13}));
    lowrank::transposed_times({m.data(), 2, 3}, p.data(), 2, mtp.data());
    EXPECT_EQ(mtp, (std::vector<float>{41, 52, 63, -4, -5, -6}));
    out.assign(6, 100.0f);
    // p q^T: rows (1 0 -1) and (10 - 2, 0 - 1, -10 - 0).
    lowrank::add_product({.p = p.data(), .q = q.data(), .rank = 2}, 2, 2, 3, out.data());
    EXPECT_EQ(out, (std::vector<float>{102, 100, 98, 116, 98, 80}));
  });
}

TEST(LowRankKernels, LimitWhatTheyAddToTheRangeOfFp32) {
  const std::vector<float> p(20, 1.0f), q(20, kLargest / 4);
  test::on_every_target([&] {
    std::vector<float> out(400, 0.0f);
    lowrank::add_product({.p = p.data(), .q = q.data(), .rank = 1, .p_scale = -1, .scale = 8}, 1, 20, 20, out.data());
    EXPECT_EQ(out, std::vector<float>(400, -kLargest));
  });
}

TEST(ColumnNorm, IsAPowerOfTwoThatKeepsInnerProductsFinite) {
  for (const size_t length : {1, 2, 3, 4, 5, 16, 17, 1000, 4096, 1 << 20}) {
    const double norm = lowrank::column_norm(length), most = 1 / (2 * std::sqrt(static_cast<double>(length)));
    EXPECT_LE(norm, most);
    EXPECT_GT(norm, most / 4);
    EXPECT_EQ(std::exp2(std::round(std::log2(norm))), norm);
  }
}

// Checks that columns are units or 0 (as `zero` says) and orthogonal.
void expect_orthogonal(const std::vector<float>& columns, size_t length, const std::vector<bool>& zero) {
  const double norm = lowrank::column_norm(length);
  for (size_t j = 0; j < zero.size(); ++j) {
    for (size_t k = 0; k <= j; ++k) {
      double sum = 0;
      for (size_t i = 0; i < length; ++i) sum += static_cast<double>(columns[j * length + i]) * columns[k * length + i];
      EXPECT_NEAR(sum / (norm * norm), j == k && !zero[j] ? 1 : 0, 1e-6) << "columns " << j << " and " << k;
    }
  }
}

TEST(Basis, IsOrthogonalForColumnsOfEveryMagnitude) {
  constexpr size_t kLength = 50;
  for (const float scale : {1.0f, 1e-38f, 1e-42f, 1e37f}) {
    std::vector<float> columns = normal_values(4 * kLength, 1);
    for (size_t i = 0; i < columns.size(); ++i) columns[i] *= i / kLength == 1 ? scale : 1.0f;
    std::vector<double> work(columns.size());
    lowrank::orthogonalise(columns, kLength, work);
    expect_orthogonal(columns, kLength, {false, false, false, false});
  }
}

TEST(Basis, DropsWhatLiesInTheSpanOfColumnsBefore) {
  const std::vector<float> dependent{1, 2, 2, 0, -3, -6, -6, 0, 0, 0, 0, 0, 0, 0, 0, 5};  // a, -3 a, 0, e_3
  std::vector<double> work(16);
  std::vector<float> columns = dependent;
  lowrank::orthogonalise(columns, 4, work);
  expect_orthogonal(columns, 4, {false, true, true, false});
  EXPECT_FLOAT_EQ(columns[1], 2.0f / 3 / 4);  // of a = (1 2 2 0) of norm 3, at column_norm(4) = 1/4
  EXPECT_EQ(columns[15], 0.25f);

  columns = dependent;
  const Draw draw(5);
  lowrank::orthogonalise(columns, 4, work, &draw);
  expect_orthogonal(columns, 4, {false, false, false, false});
}

TEST(Basis, OfColumnsThatAreNearlyOneIsOrthogonal) {
  std::vector<float> columns = normal_values(300, 1);
  for (size_t i = 0; i < 100; ++i) {
    columns[100 + i] = columns[i] * (1 + 0x1p-18f * columns[200 + i]);
    columns[200 + i] = columns[i] * (i % 2 == 0 ? 1 : 1 + 0x1p-16f);
  }
  std::vector<double> work(300);
  lowrank::orthogonalise(columns, 100, work);
  expect_orthogonal(columns, 100, {false, false, false});
}

// [[2 1] [1 2]] has 3 and 1; a diagonal has itself; rank one x x^T has |x|^2 and zeros.
TEST(SymmetricEigenvalues, AreThoseWorkedOutByHand) {
  const auto near = [](const std::vector<double>& found, const std::vector<double>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12);
  };
  near(lowrank::symmetric_eigenvalues({2, 1, 1, 2}, 2), {3, 1});
  near(lowrank::symmetric_eigenvalues({-1, 0, 0, 0, 7, 0, 0, 0, 0}, 3), {7, 0, -1});
  near(lowrank::symmetric_eigenvalues({1, 2, 3, 2, 4, 6, 3, 6, 9}, 3), {14, 0, 0});
  near(lowrank::symmetric_eigenvalues({}, 0), {});
}

TEST(LowRankErrors, AreThoseOfTheSingularValueDecomposition) {
  for (const auto& [rows, cols, decay, tolerance] : {std::tuple(60, 40, 0.7, 0.01), {33, 90, 0.9, 0.03}, {50, 50, 1.0, 0.06}}) {
    const Layer layer{.id = 3, .rows = rows, .cols = cols};
    const std::vector<float> values = low_rank_values(layer, 30, decay, 4);
    const std::vector<double> singular = singular_values(layer, values);
    const std::vector<double> errors = low_rank_squared_errors(layer, values, 12);
    ASSERT_EQ(errors.size(), 12u);
    for (size_t r = 1; r <= 12; ++r) {
      const double best = squares_from(singular, r);
      EXPECT_GE(errors[r - 1], best * (1 - 1e-5) - 1e-6 * square_sum(values)) << "rank " << r;
      EXPECT_LE(errors[r - 1], best * (1 + tolerance) + 1e-6 * square_sum(values)) << "rank " << r;
    }
  }
}

TEST(LowRankErrors, EndAtTheFullRank) {
  const Layer layer{.id = 3, .rows = 3, .cols = 8};
  const std::vector<float> values = normal_values(24, 1);
  const std::vector<double> singular = singular_values(layer, values), errors = low_rank_squared_errors(layer, values, 5);
  EXPECT_NEAR(errors[0], squares_from(singular, 1), 1e-5);
  EXPECT_NEAR(errors[1], squares_from(singular, 2), 1e-5);
  EXPECT_EQ(errors[2], 0);
  EXPECT_EQ(errors[4], 0);
  EXPECT_EQ(low_rank_squared_errors({.id = 3, .rows = 1, .cols = 4}, std::vector<float>{1, 2, 3, 4}, 2), (std::vector<double>{0, 0}));
  EXPECT_EQ(low_rank_squared_errors({.id = 3, .rows = 0, .cols = 4}, {}, 2), (std::vector<double>{0, 0}));
}

TEST(LowRankErrors, AreInfiniteWhereAValueIsNotFinite) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    const std::vector<float> values{1, 2, bad, 4};
    EXPECT_EQ(low_rank_squared_errors({.id = 3, .rows = 2, .cols = 2}, values, 2), (std::vector<double>{kInf, kInf}));
  }
}

TEST(LowRankErrors, FallFiniteAndNotBelowZeroForEveryInput) {
  const Layer layer{.id = 3, .rows = 14, .cols = 23};
  for (const Input& input : hurtful_inputs(14 * 23)) {
    SCOPED_TRACE(input.name);
    double before = square_sum(input.values);
    for (const double error : low_rank_squared_errors(layer, input.values, 14)) {
      EXPECT_GE(error, 0);
      EXPECT_LE(error, before);
      before = error;
    }
  }
}

}  // namespace
}  // namespace thinwire::compressors
