// The seam of gradient compression: numbers to bytes and back.
//
// A Codec is pure: it knows no rank, no clock and keeps nothing between calls, so one object serves every layer and thread. All of its
// state lives with the caller (the residual). Its payload is what travels inside a frame (compressors/frame.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/draw.h"

namespace thinwire::compressors {

// What a codec may know of a tensor: an opaque id and its shape. Elements are fp32.
struct Layer {
  uint32_t id = 0;
  int64_t rows = 1, cols = 0;
  int64_t elems() const { return rows * cols; }
};

// How payloads of several ranks add up.
enum class Combine : uint8_t {
  sum,     // element-wise: the payload of a concatenation is the concatenation of the payloads, so slices can be summed by their owners
  gather,  // every payload goes to everyone, who decode and add in rank order
};

struct Traits {
  Combine combine = Combine::gather;
  size_t worst_bytes = 0;             // no payload of this layer is longer
  std::optional<size_t> exact_bytes;  // set when every payload of this layer has this length
  size_t scratch_bytes = 0;           // what Context::scratch must hold, aligned to 64 bytes
  // Guaranteed contraction, for every finite a: |a - decoded|^2 <= (1 - delta) |a|^2 + elems * error_floor^2. A delta of 1 with no floor
  // means lossless. The floor is not 0 only where the wire format ends above the smallest fp32 denormal, so that tiny elements are lost.
  double delta = 0;
  double error_floor = 0;
};

// Encodes a = decay * residual + scale * x, each product and the sum rounded to fp32 in that order, and leaves residual = a - decoded.
// Without a residual, a = scale * x and the error is dropped. `x` and `residual` may not overlap.
struct In {
  const float* x = nullptr;
  float scale = 1;
  float* residual = nullptr;
  float decay = 1;
};

struct Context {
  MutableBytes scratch;
  Draw own{0};     // differs between ranks: stochastic rounding
  Draw shared{0};  // equal on all ranks: random-k's choice of coordinates
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual uint16_t id() const = 0;  // in every frame; never renumbered (docs/formats/payload.md)
  virtual std::string_view name() const = 0;
  virtual Traits traits(Layer layer) const = 0;

  // Returns the bytes written, at most traits().worst_bytes. Deterministic in its arguments. Throws NonFiniteError, with out and residual
  // as they were, when any element of a is NaN or infinite: a NaN in a residual would never leave it.
  virtual size_t encode(Layer layer, In in, Context& context, std::byte* out) const = 0;

  // out += weight * decoded, elementwise in fp32. The payload comes from a peer: it is validated first, and CorruptData leaves out as it
  // was. What passes validation decodes to finite values.
  virtual void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const = 0;
};

}  // namespace thinwire::compressors
