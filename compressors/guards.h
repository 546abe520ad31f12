// What every codec does around its own work: form the sum that it encodes, refuse what is not finite, refuse a payload of a wrong length.
//
// Free functions without state. A codec calls require_finite() first in encode() and require_length() first in decode_add().
#pragma once
#include <algorithm>
#include <limits>
#include <span>
#include <string_view>

#include "compressors/codec.h"

namespace thinwire::compressors {

// Elements [begin, begin + a.size()) of a = decay * residual + scale * x, rounded as In says. `a` may not overlap the inputs.
void accumulate(const In& in, size_t begin, std::span<float> a);

// What of a finite element is left beside a finite value: a - decoded, at most the largest fp32, since an infinite residual would never
// leave.
constexpr float left_of(float a, float decoded) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  return std::clamp(a - decoded, -kLargest, kLargest);
}

// NonFiniteError that names the first element of a that is NaN or infinite. The sum counts: two finite inputs may overflow in it. What is
// known to be finite is not read.
void require_finite(Layer layer, const In& in);

// CorruptData unless the payload has exactly this length.
void require_length(std::string_view codec, Layer layer, ConstBytes payload, size_t exact_bytes);

// CorruptData: "<codec> payload of layer <id>: <what>".
[[noreturn]] void corrupt_payload(std::string_view codec, Layer layer, const std::string& what);

}  // namespace thinwire::compressors
