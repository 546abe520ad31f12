#include "compressors/topk/error_curve.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "compressors/topk/reference.h"

namespace thinwire::compressors {
namespace {

// Sorts by bytes, from the lowest (LSD radix sort). After four rounds the result is back in `numbers`.
void sort_ascending(std::span<uint32_t> numbers, std::span<uint32_t> room) {
  std::array<std::array<uint32_t, 256>, 4> starts{};
  for (const uint32_t number : numbers) {
    for (size_t digit = 0; digit < 4; ++digit) ++starts[digit][number >> 8 * digit & 0xff];
  }
  for (size_t digit = 0; digit < 4; ++digit) {
    std::exclusive_scan(starts[digit].begin(), starts[digit].end(), starts[digit].begin(), 0u);
    for (const uint32_t number : numbers) room[starts[digit][number >> 8 * digit & 0xff]++] = number;
    std::swap(numbers, room);
  }
}

}  // namespace

std::vector<double> topk_squared_errors(std::span<const float> layer, size_t chunk_elems, std::span<const double> densities,
                                        std::vector<uint32_t>& scratch) {
  const size_t longest = std::min(chunk_elems, layer.size());
  if (scratch.size() < 2 * longest) scratch.resize(2 * longest);
  std::vector<size_t> densest_first(densities.size());
  std::iota(densest_first.begin(), densest_first.end(), size_t{0});
  std::ranges::sort(densest_first, [&](size_t i, size_t j) { return densities[i] > densities[j]; });

  std::vector<double> errors(densities.size(), 0.0);
  for (size_t begin = 0; begin < layer.size(); begin += longest) {
    const auto chunk = layer.subspan(begin, std::min(longest, layer.size() - begin));
    const auto magnitudes = std::span(scratch).first(chunk.size());
    std::ranges::transform(chunk, magnitudes.begin(), [](float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffff; });
    sort_ascending(magnitudes, std::span(scratch).subspan(longest, chunk.size()));

    double dropped = 0;
    size_t at = 0;
    for (const size_t i : densest_first) {
      for (const size_t end = chunk.size() - kept_of(densities[i], chunk.size()); at < end; ++at) {
        const double magnitude = std::bit_cast<float>(magnitudes[at]);
        dropped += magnitude * magnitude;
      }
      errors[i] += dropped;
    }
  }
  return errors;
}

}  // namespace thinwire::compressors
