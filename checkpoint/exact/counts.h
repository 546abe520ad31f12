// How often each value occurs.
#pragma once
#include <array>
#include <cstddef>

namespace thinwire::checkpoint::exact {

// Of value_of(0), ..., value_of(elems - 1), each below 256. In turn into four tables, so that no count of a frequent value waits for the
// one before it.
template <class Count, class ValueOf>
std::array<Count, 256> counts_of(size_t elems, const ValueOf& value_of) {
  std::array<std::array<Count, 256>, 4> tables{};
  size_t i = 0;
  for (; i + 4 <= elems; i += 4) {
    for (size_t t = 0; t < 4; ++t) ++tables[t][value_of(i + t)];
  }
  for (; i < elems; ++i) ++tables[0][value_of(i)];
  std::array<Count, 256> counts{};
  for (size_t v = 0; v < counts.size(); ++v) counts[v] = static_cast<Count>(tables[0][v] + tables[1][v] + tables[2][v] + tables[3][v]);
  return counts;
}

}  // namespace thinwire::checkpoint::exact
