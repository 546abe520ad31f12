// The template for a new codec: copy this folder, rename, and replace the identity by your idea (docs/extending/codec.md).
//
// It sends fp32 as it is and gathers. It is compiled and passes the conformance suite like every codec, but no config can select it.
// Your header says here: what is sent, the formula for bytes and for error, when it does not pay, and the paper it comes from.
#pragma once
#include "compressors/codec.h"

namespace thinwire::compressors {

// Stateless, so one object serves every layer and thread. What varies per call comes through In and Context; options, if there are any, are
// fixed by the constructor (see TopkOptions for a described struct).
class SkeletonCodec final : public Codec {
 public:
  // The next free id in docs/formats/payload.md. It is in every frame ever written: never renumber, never reuse.
  uint16_t id() const override { return 65535; }

  // What a config says. The registry uses the same name; the conformance suite compares them.
  std::string_view name() const override { return "skeleton"; }

  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;
};

}  // namespace thinwire::compressors
