// decode_add() of one codec on a peer's bytes. Flag 0 of the head cuts or pads the payload to the length that the codec demands, so that
// mutations get past the first check.
#include <cmath>

#include "compressors/codec.h"
#include "layer_input.h"

namespace thinwire::fuzz {
namespace {

using compressors::Codec;
using compressors::Layer;

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::ranges::transform(values, bits.begin(), [](float value) { return std::bit_cast<uint32_t>(value); });
  return bits;
}

// Adds the payload to `out`; false when it is refused. The payload's copy ends where the heap block ends.
bool accepts(const Codec& codec, Layer layer, const LayerInput& input, ConstBytes payload, std::byte fill, std::vector<float>& out) {
  const Bytes exact(payload.begin(), payload.end());
  const std::vector<uint32_t> before = bits_of(out);
  ExactContext scratch(codec.traits(layer).scratch_bytes, input.seed, fill);
  try {
    codec.decode_add(layer, exact, 1, out.data(), scratch.context);
    return true;
  } catch (const CorruptData& error) {
    if (bits_of(out) != before) broken(std::string("refused, but wrote: ") + error.what());
    return false;
  }
}

void run(const std::string& name, ConstBytes bytes) {
  const LayerInput input(bytes);
  const auto compressor = make_compressor(name, input.head.options);
  const auto* codec = dynamic_cast<const Codec*>(compressor.get());
  if (codec == nullptr) return;
  const Layer layer = input.head.layer();
  const size_t elems = static_cast<size_t>(layer.elems());
  Bytes payload(input.rest.begin(), input.rest.end());
  if (const auto exact_bytes = codec->traits(layer).exact_bytes; exact_bytes && input.head.flag(0)) payload.resize(*exact_bytes);

  std::vector<float> decoded(elems, 0.0f), out(elems);
  for (size_t i = 0; i < elems; ++i) out[i] = 0.25f * static_cast<float>(i % 7) - 0.75f;
  const std::vector<float> before = out;
  const bool accepted = accepts(*codec, layer, input, payload, std::byte{0xff}, decoded);
  require(accepts(*codec, layer, input, payload, std::byte{0x11}, out) == accepted, "what is accepted depends on out or scratch");
  if (!accepted) return;
  for (size_t i = 0; i < elems; ++i) {
    require_at(i, std::isfinite(decoded[i]), "decodes to a finite value");
    require_at(i, out[i] == before[i] + decoded[i], "is what was there plus what was decoded");
  }
}

std::vector<Bytes> seeds(const std::string& name) {
  std::vector<Bytes> seeds;
  for (Head head : seed_heads()) {
    const auto compressor = make_compressor(name, head.options);
    const auto* codec = dynamic_cast<const Codec*>(compressor.get());
    if (codec == nullptr) continue;
    const Layer layer = head.layer();
    const compressors::Traits traits = codec->traits(layer);
    std::vector<float> x(static_cast<size_t>(layer.elems()));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(Draw(head.cols).normal(i));
    ExactContext scratch(traits.scratch_bytes, 1, std::byte{0});
    Bytes payload(traits.worst_bytes);
    payload.resize(codec->encode(layer, {.x = x.data()}, scratch.context, payload.data()));
    seeds.push_back(bytes_of_input(head, payload));
    if (payload.empty()) continue;
    payload[Draw(2).below(head.cols, payload.size())] ^= std::byte{0x40};  // one that is likely refused
    head.flags ^= 1;
    seeds.push_back(bytes_of_input(head, payload));
  }
  return seeds;
}

}  // namespace

Target decode_target(const std::string& codec) {
  return {"decode-" + codec, [codec](ConstBytes input) { run(codec, input); }, [codec] { return seeds(codec); }};
}

}  // namespace thinwire::fuzz
