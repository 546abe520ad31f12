#include "compressors/expected_bytes.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/check.h"
#include "compressors/codec.h"

namespace thinwire::compressors {

namespace {

constexpr int64_t kSampleElems = 1 << 18;
constexpr size_t kAlignment = 64;  // of scratch (compressor.h)

// As many whole rows as the sample takes; of a longer row its beginning.
Layer sample_of(Layer layer) {
  if (layer.elems() <= kSampleElems) return layer;
  if (layer.cols >= kSampleElems) return {layer.id, 1, kSampleElems};
  return {layer.id, kSampleElems / layer.cols, layer.cols};
}

size_t compressed_bytes(const Codec& codec, Layer layer) {
  const Traits traits = codec.traits(layer);
  const Draw draw(1);
  std::vector<float> x(static_cast<size_t>(layer.elems()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(draw.normal(i));
  std::vector<std::byte> storage(traits.scratch_bytes + kAlignment), payload(traits.worst_bytes);
  void* at = storage.data();
  size_t room = storage.size();
  Context context;
  context.scratch = {static_cast<std::byte*>(std::align(kAlignment, traits.scratch_bytes, at, room)), traits.scratch_bytes};
  return codec.encode(layer, {.x = x.data()}, context, payload.data());
}

}  // namespace

double expected_bytes(const Compressor& compressor, Layer layer) {
  const Traits traits = compressor.traits(layer);
  if (traits.exact_bytes) return static_cast<double>(*traits.exact_bytes);
  const auto* codec = dynamic_cast<const Codec*>(&compressor);
  check(codec != nullptr, "all payloads of a sketch have one length");
  const Layer sample = sample_of(layer);
  const auto measured = static_cast<double>(compressed_bytes(*codec, sample));
  if (sample.elems() == layer.elems()) return measured;
  return measured * static_cast<double>(traits.worst_bytes) / static_cast<double>(codec->traits(sample).worst_bytes);
}

}  // namespace thinwire::compressors
