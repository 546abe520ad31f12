#include "compressors/lowrank/symmetric.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace thinwire::compressors::lowrank {
namespace {

// Rotates rows and columns p and q so that a[p][q] becomes 0.
void rotate(std::vector<double>& a, size_t size, size_t p, size_t q) {
  const auto at = [&](size_t row, size_t col) -> double& { return a[row * size + col]; };
  const double tau = (at(q, q) - at(p, p)) / (2 * at(p, q));
  const double t = (tau >= 0 ? 1 : -1) / (std::fabs(tau) + std::sqrt(1 + tau * tau));  // 0 where tau * tau overflows
  const double c = 1 / std::sqrt(1 + t * t), s = t * c;
  for (size_t i = 0; i < size; ++i) {
    const double ip = at(i, p), iq = at(i, q);
    at(i, p) = c * ip - s * iq;
    at(i, q) = s * ip + c * iq;
  }
  for (size_t i = 0; i < size; ++i) {
    const double pi = at(p, i), qi = at(q, i);
    at(p, i) = c * pi - s * qi;
    at(q, i) = s * pi + c * qi;
  }
}

}  // namespace

std::vector<double> symmetric_eigenvalues(std::vector<double> a, size_t size) {
  constexpr int kMostSweeps = 30;  // about ten are enough, as convergence ends quadratic
  double largest = 0;
  for (const double value : a) largest = std::max(largest, std::fabs(value));
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < kMostSweeps; ++sweep) {
    rotated = false;
    for (size_t p = 0; p < size; ++p) {
      for (size_t q = p + 1; q < size; ++q) {
        if (std::fabs(a[p * size + q]) <= 1e-17 * largest) continue;
        rotate(a, size, p, q);
        rotated = true;
      }
    }
  }
  std::vector<double> eigenvalues(size);
  for (size_t i = 0; i < size; ++i) eigenvalues[i] = a[i * size + i];
  std::ranges::sort(eigenvalues, std::greater<>());
  return eigenvalues;
}

}  // namespace thinwire::compressors::lowrank
