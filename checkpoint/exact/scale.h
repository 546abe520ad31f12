// A model of how large the elements of a matrix are: the magnitude of each is about its row's times its column's. Adam's second moments
// follow it closely (N. Shazeer, M. Stern, "Adafactor", arXiv 1804.04235, section 3), first moments loosely, so that what is left over
// takes fewer bits than the exponent did.
//
// In bits: where |x| = 2^e (1 + f), the word without its sign, over 2^mantissa, is e + f, log2|x| within 0.09. In quarters of an octave,
// row i + column j is expected of it.
#pragma once
#include <algorithm>
#include <vector>

#include "checkpoint/exact/words.h"

namespace thinwire::checkpoint::exact {

// Where a run of elements lies in a matrix with rows of row_elems.
struct Place {
  uint64_t first_elem = 0, row_elems = 0;
  size_t elems = 0;

  size_t first_column() const { return static_cast<size_t>(first_elem % row_elems); }
  size_t rows() const { return elems == 0 ? 0 : static_cast<size_t>((first_column() + elems - 1) / row_elems + 1); }  // that it touches

  // visit(row, column, begin, count): the part of the run that lies in each row. Rows count from the first touched.
  template <class Visit>
  void for_each_row(const Visit& visit) const {
    size_t column = first_column();
    for (size_t begin = 0, row = 0; begin < elems; ++row, column = 0) {
      const size_t count = std::min<size_t>(static_cast<size_t>(row_elems) - column, elems - begin);
      visit(row, column, begin, count);
      begin += count;
    }
  }
};

inline constexpr uint64_t kFewestColumns = 8;  // with fewer, the rows' values cost more than they save

struct Scale {
  std::vector<uint16_t> rows, columns;  // by row touched, by column: quarters of an octave, modulo 2^16
};

// Means over the run. 32 octaves are added to what is left over, so that it hardly ever wraps around.
template <class Word>
Scale fit_scale(std::span<const Word> x, const Place& place, unsigned shift) {
  constexpr int64_t kCentre = 4 * 32;
  const auto size_at = [&](size_t i) { return static_cast<int32_t>(static_cast<Word>(x[i] & ~kSign<Word>) >> shift); };
  const auto mean = [](int64_t sum, int64_t count) { return count == 0 ? 0 : (2 * sum + (sum < 0 ? -count : count)) / (2 * count); };
  const size_t columns = static_cast<size_t>(place.row_elems);
  std::vector<int32_t> sums(columns), counts(columns);
  Scale scale{std::vector<uint16_t>(place.rows()), std::vector<uint16_t>(columns)};
  place.for_each_row([&](size_t row, size_t column, size_t begin, size_t count) {
    uint32_t sum = 0;  // sizes have 13 bits at most, runs 2^18 elements
    for (size_t j = 0; j < count; ++j) sum += static_cast<uint32_t>(size_at(begin + j));
    const auto of_row = static_cast<int32_t>(mean(sum, static_cast<int64_t>(count)));
    for (size_t j = 0; j < count; ++j) sums[column + j] += size_at(begin + j) - of_row;
    for (size_t j = 0; j < count; ++j) ++counts[column + j];
    scale.rows[row] = static_cast<uint16_t>(of_row - kCentre);
  });
  for (size_t j = 0; j < columns; ++j) scale.columns[j] = static_cast<uint16_t>(mean(sums[j], counts[j]));
  return scale;
}

}  // namespace thinwire::checkpoint::exact
