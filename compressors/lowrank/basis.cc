#include "compressors/lowrank/basis.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace thinwire::compressors::lowrank {
namespace {

constexpr double kVanished = 0x1p-20;

double inner(std::span<const double> a, std::span<const double> b) {
  constexpr size_t kParts = 8;  // independent sums, for speed; their order is fixed
  double parts[kParts] = {};
  size_t i = 0;
  for (; i + kParts <= a.size(); i += kParts) {
    for (size_t part = 0; part < kParts; ++part) parts[part] += a[i + part] * b[i + part];
  }
  for (; i < a.size(); ++i) parts[0] += a[i] * b[i];
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

// The columns of `done` are orthonormal or 0. False when nothing of `column` is left; else it becomes a unit vector orthogonal to them.
bool make_unit(std::span<double> column, std::span<const double> done) {
  const double before = std::sqrt(inner(column, column));
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t at = 0; at < done.size(); at += column.size()) {
      const auto other = done.subspan(at, column.size());
      const double along = inner(column, other);
      for (size_t i = 0; i < column.size(); ++i) column[i] -= along * other[i];
    }
  }
  const double after = std::sqrt(inner(column, column));
  if (!(after > kVanished * before)) return false;
  for (double& value : column) value /= after;
  return true;
}

void fill_uniform(std::span<double> column, const Draw& draw, size_t first_index) {
  for (size_t i = 0; i < column.size(); ++i) column[i] = 2 * draw.uniform(first_index + i) - 1;
}

}  // namespace

float column_norm(size_t length) {
  const int log2_length = length <= 1 ? 0 : static_cast<int>(std::bit_width(length - 1));  // rounded up
  return std::ldexp(1.0f, -(log2_length + 1) / 2 - 1);
}

void orthogonalise(std::span<float> columns, size_t length, std::span<double> work, const Draw* replacement) {
  check(work.size() >= columns.size(), "scratch holds the basis in double");
  const double norm = column_norm(length);
  for (size_t at = 0; at < columns.size(); at += length) {
    const auto column = work.subspan(at, length), done = work.first(at);
    for (size_t i = 0; i < length; ++i) column[i] = columns[at + i];
    bool there = make_unit(column, done);
    if (!there && replacement != nullptr) {
      fill_uniform(column, *replacement, at);
      there = make_unit(column, done);
    }
    for (size_t i = 0; i < length; ++i) {
      if (!there) column[i] = 0;
      columns[at + i] = static_cast<float>(norm * column[i]);
    }
  }
}

void draw_basis(std::span<float> columns, size_t length, std::span<double> work, const Draw& draw) {
  std::fill(columns.begin(), columns.end(), 0.0f);
  orthogonalise(columns, length, work, &draw);
}

}  // namespace thinwire::compressors::lowrank
