#include "compressors/guards.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "compressors/dense_kernels.h"

namespace thinwire::compressors {

void accumulate(const In& in, size_t begin, std::span<float> a) { dense_kernels::accumulate(in, begin, a); }

void require_finite(Layer layer, const In& in) {
  if (in.known_finite) return;
  constexpr size_t kBlockElems = 16384;
  const size_t elems = static_cast<size_t>(layer.elems());
  for (size_t begin = 0; begin < elems; begin += kBlockElems) {
    const size_t end = std::min(begin + kBlockElems, elems);
    if (dense_kernels::all_finite(in, begin, end - begin)) continue;
    for (size_t i = begin; i < end; ++i) {
      float a = 0;
      accumulate(in, i, {&a, 1});
      if (std::isfinite(a)) continue;
      const char* kind = std::isnan(a) ? "nan" : a > 0 ? "inf" : "-inf";
      throw NonFiniteError("element " + std::to_string(i) + " of layer " + std::to_string(layer.id) + " is " + kind);
    }
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
