#include "compressors/lowrank/error_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "compressors/lowrank/basis.h"
#include "compressors/lowrank/kernels.h"
#include "compressors/lowrank/symmetric.h"

namespace thinwire::compressors {
namespace {

using lowrank::Matrix;

constexpr size_t kSpareColumns = 4;  // beyond the largest rank: they sharpen the last directions that are asked for
constexpr int kSteps = 3;

// Squared norms of the projections of M on its leading directions, largest first.
std::vector<double> squared_singular_values(Matrix m, size_t columns) {
  std::vector<float> p(m.rows * columns), q(m.cols * columns);
  std::vector<double> work(std::max(p.size(), q.size()));
  lowrank::draw_basis(q, m.cols, work, Draw(0).fork("error curve"));
  for (int step = 0; step <= kSteps; ++step) {
    if (step > 0) lowrank::orthogonalise(q, m.cols, work);
    lowrank::times(m, q.data(), columns, p.data());
    lowrank::orthogonalise(p, m.rows, work);
    lowrank::transposed_times(m, p.data(), columns, q.data());
  }
  const double unscale = 1 / static_cast<double>(lowrank::column_norm(m.rows));
  std::vector<double> gram(columns * columns);
  for (size_t i = 0; i < columns; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (size_t c = 0; c < m.cols; ++c) sum += static_cast<double>(q[i * m.cols + c]) * q[j * m.cols + c];
      gram[i * columns + j] = gram[j * columns + i] = sum * unscale * unscale;
    }
  }
  return lowrank::symmetric_eigenvalues(gram, columns);
}

}  // namespace

std::vector<double> low_rank_squared_errors(Layer layer, std::span<const float> values, int max_rank) {
  check(max_rank >= 1, "a curve of errors has at least one rank");
  check(values.size() == static_cast<size_t>(layer.elems()), "a layer's values have its shape");
  const Matrix m{values.data(), static_cast<size_t>(layer.rows), static_cast<size_t>(layer.cols)};
  const size_t full = std::min(m.rows, m.cols), wanted = static_cast<size_t>(max_rank);
  std::vector<double> errors(wanted, 0.0);
  if (values.empty()) return errors;
  double left = 0;
  for (const float value : values) left += static_cast<double>(value) * value;
  if (!std::isfinite(left)) return std::vector<double>(wanted, std::numeric_limits<double>::infinity());

  const std::vector<double> squares = squared_singular_values(m, std::min(full, wanted + kSpareColumns));
  for (size_t r = 0; r < std::min(wanted, full - 1); ++r) {
    left = std::max(0.0, left - std::max(0.0, squares[r]));
    errors[r] = left;
  }
  return errors;
}

}  // namespace thinwire::compressors
