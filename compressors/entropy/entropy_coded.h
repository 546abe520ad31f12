// A codec whose payloads pass through rANS: `entropy: rans` of the codecs that offer it. Everything else (id, name, values, residual,
// bound) is the inner codec's.
//
//   payload   0 and the inner payload, or 1, its length (u32) and its rANS (rans.h), whichever is shorter; raw if they are equal
//
// So it costs at most a byte. Exactly one payload is accepted for each inner payload: the one that encode() writes. To hold that, decoding
// encodes again and compares; the ranks of a run therefore link one version of htscodecs. It pays where bytes of the inner payload are
// unevenly frequent (quantised values), not where they are near their entropy (Rice codes, packed positions, mantissas):
// docs/methods/entropy.md.
#pragma once
#include <memory>
#include <string>

#include "compressors/codec.h"
#include "config/section.h"

namespace thinwire::compressors {

class EntropyCoded final : public Codec {
 public:
  explicit EntropyCoded(std::unique_ptr<const Codec> inner) : inner_(std::move(inner)) {}
  uint16_t id() const override { return inner_->id(); }
  std::string_view name() const override { return inner_->name(); }
  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;

 private:
  std::unique_ptr<const Codec> inner_;
};

// Adds `entropy: none | rans` to a codec's options. With a member of this name in the options, OptionsMaker (maker.h) wraps the codec.
void describe_entropy(config::Section& section, std::string& entropy);

template <class Options>
concept HasEntropy = requires(Options options) {
  options.entropy == "rans";
};

}  // namespace thinwire::compressors
