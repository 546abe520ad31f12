#include "compressors/randomk/randomk.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace thinwire::compressors {
namespace {

struct Pick {
  size_t stratum_elems, index;
};

// visit(number of the stratum, what is drawn from it) for each of `taken` strata: stratum i begins at floor(i * elems / taken).
template <class Visit>
void for_each_taken(Layer layer, size_t taken, const Draw& shared, Visit&& visit) {
  if (taken == 0) return;
  const Draw draw = shared.fork(layer.id);
  const size_t elems = static_cast<size_t>(layer.elems());
  const size_t least = elems / taken, larger = elems % taken;
  size_t begin = 0, owed = 0;  // owed / taken: how far the exact boundary lies beyond `begin`
  std::array<Pick, 32> picks;  // some are drawn ahead, so that their cache misses overlap
  for (size_t first = 0; first < taken; first += picks.size()) {
    const size_t count = std::min(picks.size(), taken - first);
    for (size_t i = 0; i < count; ++i) {
      owed += larger;
      const size_t size = least + (owed >= taken ? 1 : 0);
      if (owed >= taken) owed -= taken;
      picks[i] = {size, begin + static_cast<size_t>(draw.below(first + i, size))};
      begin += size;
    }
    for (size_t i = 0; i < count; ++i) visit(first + i, picks[i]);
  }
}

}  // namespace

void describe(config::Section& section, RandomkOptions& options) {
  section.fraction("density", options.density, {0.0, 1.0}, "share of a layer's elements that is sent, above 0; at least one element is");
  section.rule("density", [&options]() -> std::optional<std::string> {
    if (options.density > 0) return std::nullopt;
    return "density must be above 0";
  });
  section.boolean("unbiased", options.unbiased, "enlarge what is sent so that its expectation is the input: only without error feedback");
}

size_t RandomkSketch::taken_of(Layer layer) const {
  if (layer.elems() == 0) return 0;
  return std::max<size_t>(1, static_cast<size_t>(std::floor(options_.density * static_cast<double>(layer.elems()) + 0.5)));
}

Traits RandomkSketch::traits(Layer layer) const {
  const size_t taken = taken_of(layer), elems = static_cast<size_t>(layer.elems());
  Traits traits;
  traits.combine = Combine::sketch;
  traits.worst_bytes = taken * sizeof(float);
  traits.exact_bytes = traits.worst_bytes;
  traits.delta = 1;
  if (taken == elems) return traits;
  const double largest = static_cast<double>((elems + taken - 1) / taken), enlarged = largest - 1 + largest * 0x1p-22;
  traits.delta = options_.unbiased ? 1 - enlarged * enlarged : 0;
  traits.expands = options_.unbiased && 2 * taken < elems;  // expected: (s - 1) |a|^2 in strata of s
  return traits;
}

void RandomkSketch::produce(Layer layer, int, const float* a, std::span<const float>, Context& context, std::span<float> part) const {
  for_each_taken(layer, part.size(), context.shared, [&](size_t i, Pick pick) { part[i] = a[pick.index]; });
}

void RandomkSketch::decode_add(Layer layer, std::span<const float> last, std::span<const float>, float weight, float* out,
                               Context& context) const {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for_each_taken(layer, last.size(), context.shared, [&](size_t i, Pick pick) {
    const float factor = options_.unbiased ? static_cast<float>(pick.stratum_elems) : 1.0f;
    out[pick.index] += weight * std::clamp(factor * last[i], -kLargest, kLargest);
  });
}

}  // namespace thinwire::compressors
