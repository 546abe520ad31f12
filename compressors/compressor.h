// What all compressors of gradients are to those who only plan and count: an id, a name, and traits by layer.
//
// There are two kinds. A Codec (codec.h) turns numbers into bytes; a Sketch (sketch.h) turns them into fewer numbers whose sums over ranks
// are exact. Both are immutable and stateless: one object serves every layer and thread, and all memory lives with the caller.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/draw.h"

namespace thinwire::compressors {

// What a compressor may know of a tensor: an opaque id and its shape, row-major. Elements are fp32.
struct Layer {
  uint32_t id = 0;
  int64_t rows = 1, cols = 0;
  int64_t elems() const { return rows * cols; }
};

// How what several ranks made of a layer adds up.
enum class Combine : uint8_t {
  reencode,  // codec, two-shot: each slice's owner decodes and adds in rank order, encodes the mean once more and sends it to all; of two
             // ranks, as gather
  gather,    // codec: every payload goes to everyone, who decode and add in rank order
  sketch,    // sketch: rounds of fp32 sums
};

struct Traits {
  Combine combine = Combine::gather;
  size_t worst_bytes = 0;             // no payload of this layer is longer; a sketch: 4 bytes for each float of all rounds
  std::optional<size_t> exact_bytes;  // set when every payload of this layer has this length
  size_t scratch_bytes = 0;           // what Context::scratch must hold, aligned to 64 bytes
  // Codecs: where a layer may be cut. A layer of several multiples of this many elements may be encoded as pieces that are layers of
  // their own (of shape 1 x elems, or whole rows where split_elems is a multiple of cols), in any grouping: the payload of a concatenation
  // decodes to the concatenation. 0: never cut. Combine::reencode needs it above 0.
  size_t split_elems = 0;
  // Guaranteed contraction, for every finite a: |a - decoded|^2 <= (1 - delta) |a|^2 + elems * error_floor^2. A delta of 1 with no floor
  // means lossless; one that is not above 0 means that nothing is guaranteed to shrink. The floor is not 0 only where the wire format ends
  // above the smallest fp32 denormal, so that tiny elements are lost.
  double delta = 0;
  double error_floor = 0;
  // |a - decoded|^2 is expected to be above |a|^2, as of an unbiased codec at a low density: a residual would grow without bound.
  bool expands = false;
  // Not empty: why a layer of this shape travels uncompressed, for people. Delta is 1 then.
  std::string_view why_raw = {};
};

struct Context {
  MutableBytes scratch;
  Draw own{0};     // differs between ranks and legs; a codec draws from own.fork(layer.id) at an element's index: stochastic rounding
  Draw shared{0};  // equal on all ranks: random-k's choice of coordinates, PowerSGD's first basis
};

class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual uint16_t id() const = 0;  // in every frame; never renumbered (docs/formats/payload.md)
  virtual std::string_view name() const = 0;
  virtual Traits traits(Layer layer) const = 0;
};

}  // namespace thinwire::compressors
