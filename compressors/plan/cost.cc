#include "compressors/plan/cost.h"

#include "base/check.h"

namespace thinwire::compressors {

double wire_bytes(Combine combine, double payload_bytes, int ranks) {
  check(ranks >= 1, "there is a rank");
  if (combine == Combine::gather) return payload_bytes * (ranks - 1);
  return 2 * payload_bytes * (ranks - 1) / ranks;
}

double payload_bytes(const Traits& traits) { return static_cast<double>(traits.exact_bytes.value_or(traits.worst_bytes)); }

double codec_seconds(Combine combine, double elems, int ranks, const CodecSpeed& speed) {
  switch (combine) {
    case Combine::gather: return elems * (speed.encode_s_per_elem + ranks * speed.decode_s_per_elem);
    case Combine::reencode:
      if (!reencodes(ranks)) return codec_seconds(Combine::gather, elems, ranks, speed);
      return elems * (speed.encode_s_per_elem * (1 + 1.0 / ranks) + 2 * speed.decode_s_per_elem);
    case Combine::sketch: return elems * (speed.encode_s_per_elem + speed.decode_s_per_elem);
  }
  return 0;
}

}  // namespace thinwire::compressors
