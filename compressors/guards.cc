#include "compressors/guards.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>

namespace thinwire::compressors {
namespace {

constexpr uint32_t kExponentBits = 0x7f800000;

// Without an early exit the loop vectorises; a hit is rare and is then looked up.
bool all_finite(std::span<const float> a) {
  uint32_t found = 0;
  for (const float value : a) found |= (std::bit_cast<uint32_t>(value) & kExponentBits) == kExponentBits ? 1u : 0u;
  return found == 0;
}

}  // namespace

void accumulate(const In& in, size_t begin, std::span<float> a) {
  const float* x = in.x + begin;
  if (in.residual == nullptr) {
    for (size_t i = 0; i < a.size(); ++i) a[i] = in.scale * x[i];
    return;
  }
  const float* residual = in.residual + begin;
  for (size_t i = 0; i < a.size(); ++i) {
    const float kept = in.decay * residual[i];
    const float fresh = in.scale * x[i];
    a[i] = kept + fresh;
  }
}

void require_finite(Layer layer, const In& in) {
  std::array<float, 1024> block;
  const size_t elems = static_cast<size_t>(layer.elems());
  for (size_t begin = 0; begin < elems; begin += block.size()) {
    const auto a = std::span(block).first(std::min(block.size(), elems - begin));
    accumulate(in, begin, a);
    if (all_finite(a)) continue;
    const auto bad = std::ranges::find_if_not(a, [](float value) { return std::isfinite(value); });
    const char* kind = std::isnan(*bad) ? "nan" : *bad > 0 ? "inf" : "-inf";
    throw NonFiniteError("element " + std::to_string(begin + static_cast<size_t>(bad - a.begin())) + " of layer " +
                         std::to_string(layer.id) + " is " + kind);
  }
}

void require_length(std::string_view codec, Layer layer, ConstBytes payload, size_t exact_bytes) {
  if (payload.size() == exact_bytes) return;
  corrupt_payload(codec, layer, "has " + std::to_string(payload.size()) + " bytes, expected " + std::to_string(exact_bytes));
}

void corrupt_payload(std::string_view codec, Layer layer, const std::string& what) {
  throw CorruptData(std::string(codec) + " payload of layer " + std::to_string(layer.id) + ": " + what);
}

}  // namespace thinwire::compressors
