#include "compressors/skeleton/skeleton.h"

#include <cmath>

#include "compressors/guards.h"

namespace thinwire::compressors {

// A pure function of the layer's shape: buffers are sized from it before training starts, on every rank alike.
Traits SkeletonCodec::traits(Layer layer) const {
  const size_t bytes = static_cast<size_t>(layer.elems()) * sizeof(float);
  return {
      // reencode where a mean is as dense as its parts (casts, quantisers); gather where few elements are sent.
      .combine = Combine::gather,
      // A promise for every input, the worst included. 0 elements are 0 bytes.
      .worst_bytes = bytes,
      // Only if the length never depends on the data.
      .exact_bytes = bytes,
      // encode and decode_add do not allocate: ask for what they need here. The caller aligns it to 64 bytes and never reads it.
      .scratch_bytes = 0,
      // Where pieces of a layer may be encoded on their own: here after any element.
      .split_elems = 1,
      // A theorem, not a measurement: derive it in the header. Rounding of the values counts as error too.
      .delta = 1,
      .error_floor = 0,
  };
}

size_t SkeletonCodec::encode(Layer layer, In in, Context&, std::byte* out) const {
  // First, over the whole layer, before a single byte of out or of the residual changes: the caller may catch the error and go on.
  require_finite(layer, in);

  const size_t elems = static_cast<size_t>(layer.elems());
  for (size_t i = 0; i < elems; ++i) {
    // a = decay * residual + scale * x: always through accumulate(), so that every codec rounds alike. Real codecs do it in blocks.
    float a = 0;
    accumulate(in, i, {&a, 1});

    // Little-endian, no alignment assumed, every bit of the payload determined by the arguments. Random bits: context.own at index i.
    const float sent = a;
    store_le(out + i * sizeof(float), sent);

    // The error of everything that was not sent, rounding of the values included, computed from what the receiver will decode.
    if (in.residual != nullptr) in.residual[i] = a - sent;
  }
  return elems * sizeof(float);
}

void SkeletonCodec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context&) const {
  // A peer's bytes: the whole payload is validated before out changes. Length first, then whatever could lead out of bounds (indices,
  // counts), then the values: an infinity that gets through here is in every replica's parameters a moment later.
  const size_t elems = static_cast<size_t>(layer.elems());
  require_length(name(), layer, payload, elems * sizeof(float));
  const auto value_at = [&](size_t i) { return load_le<float>(payload.data() + i * sizeof(float)); };
  for (size_t i = 0; i < elems; ++i) {
    if (!std::isfinite(value_at(i))) corrupt_payload(name(), layer, "element " + std::to_string(i) + " is not finite");
  }

  // Exactly one product and one sum per element, in fp32: ranks decode the same payloads in the same order and must get the same bits.
  for (size_t i = 0; i < elems; ++i) out[i] += weight * value_at(i);
}

}  // namespace thinwire::compressors
