// The seam of codecs: numbers to bytes and back.
//
// A Codec is pure: it knows no rank, no clock and keeps nothing between calls. All of its state lives with the caller (the residual). Its
// payload is what travels inside a frame (compressors/frame.h).
#pragma once
#include <memory>

#include "compressors/compressor.h"

namespace thinwire::compressors {

class DeviceCodec;  // device_codec.h

// Encodes a = decay * residual + scale * x, each product and the sum rounded to fp32 in that order, and leaves residual = a - decoded
// (at most the largest fp32).
// Without a residual, a = scale * x and the error is dropped. `x` and `residual` may not overlap.
struct In {
  const float* x = nullptr;
  float scale = 1;
  float* residual = nullptr;
  float decay = 1;
  bool known_finite = false;  // the caller has looked at every element of a: nobody need look again
};

class Codec : public Compressor {
 public:
  // Returns the bytes written, at most traits().worst_bytes. Deterministic in its arguments. Throws NonFiniteError, with out and residual
  // as they were, when any element of a is NaN or infinite: a NaN in a residual would never leave it.
  virtual size_t encode(Layer layer, In in, Context& context, std::byte* out) const = 0;

  // out += weight * decoded, elementwise in fp32. The payload comes from a peer: it is validated first, and CorruptData leaves out as it
  // was. What passes validation decodes to finite values.
  virtual void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const = 0;

  // The same codec for numbers in the memory of a GPU. Nothing where there is no GPU or no kernels for these options (docs/cuda.md): then
  // numbers go through the host.
  virtual std::unique_ptr<DeviceCodec> on_device() const;
};

}  // namespace thinwire::compressors
