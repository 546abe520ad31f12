#include "compressors/topk/topk.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "compressors/guards.h"
#include "compressors/topk/packed12.h"
#include "compressors/topk/reference.h"
#include "compressors/topk/scaled_half.h"

namespace thinwire::compressors {
namespace {

// A chunk on the wire: exponent (int8), `kept` halves, `kept` packed indices.
size_t block_bytes(size_t kept) { return 1 + 2 * kept + packed12_bytes(kept); }

struct Block {
  explicit Block(const std::byte* at) : exponent(load_le<int8_t>(at)), halves(at + 1) {}
  const std::byte* indices(size_t kept) const { return halves + 2 * kept; }
  uint16_t half(size_t i) const { return load_le<uint16_t>(halves + 2 * i); }

  int exponent;
  const std::byte* halves;
};

// What encode needs beside its arguments, for one chunk at a time; decode_add needs the indices only.
struct Workspace {
  Workspace(MutableBytes scratch, size_t chunk_elems) {
    check(scratch.size() >= bytes(chunk_elems), "Context::scratch has traits().scratch_bytes");
    std::byte* at = scratch.data();
    a = {reinterpret_cast<float*>(at), chunk_elems};
    magnitudes = {reinterpret_cast<uint32_t*>(at + a.size_bytes()), chunk_elems};
    indices = {reinterpret_cast<uint16_t*>(at + a.size_bytes() + magnitudes.size_bytes()), chunk_elems};
  }
  static size_t bytes(size_t chunk_elems) { return chunk_elems * (sizeof(float) + sizeof(uint32_t) + sizeof(uint16_t)); }

  std::span<float> a;
  std::span<uint32_t> magnitudes;
  std::span<uint16_t> indices;
};

// Writes the block of chunk `a` and turns `a` into its residual.
void encode_chunk(std::span<float> a, size_t kept, const Workspace& work, std::byte* out) {
  const auto indices = work.indices.first(kept);
  select_largest(a, work.magnitudes.first(a.size()), indices);

  float largest = 0;
  for (const uint16_t index : indices) largest = std::max(largest, std::fabs(a[index]));
  const int exponent = ScaledHalf::exponent_for(largest);
  const ScaledHalf scale(exponent);

  store_le(out, static_cast<int8_t>(exponent));
  std::byte* halves = out + 1;
  for (size_t i = 0; i < kept; ++i) {
    float& value = a[indices[i]];
    const uint16_t half = scale.encode(value);
    store_le(halves + 2 * i, half);
    value -= scale.decode(half);
  }
  pack12(indices, halves + 2 * kept);
}

// What is wrong with a block, or nothing. Leaves its indices in `indices`.
const char* fault(const Block& block, size_t chunk_elems, std::span<uint16_t> indices) {
  if (block.exponent > ScaledHalf::kMostExponent) return "exponent is out of range";
  for (size_t i = 0; i < indices.size(); ++i) {
    if ((block.half(i) & 0x7fff) > ScaledHalf::kMostMagnitude) return "value is out of range";
  }
  if (!unpack12(block.indices(indices.size()), indices)) return "padding is not 0";
  if (indices.back() >= chunk_elems) return "index is beyond the chunk";
  for (size_t i = 1; i < indices.size(); ++i) {
    if (indices[i] <= indices[i - 1]) return "indices are not ascending";
  }
  return nullptr;
}

}  // namespace

void describe(config::Section& section, TopkOptions& options) {
  section.fraction("density", options.density, {0.0, 1.0}, "share of each chunk's elements that is sent, above 0; at least one element is");
  section.rule("density", [&options]() -> std::optional<std::string> {
    if (options.density > 0) return std::nullopt;
    return "density must be above 0; the smallest useful one is 1 / chunk";
  });
  section.integer("chunk", options.chunk, {2, kMost12Bit}, "elements among which the largest are chosen");
  section.choice("values", options.values, {"fp16"}, "how values travel: fp16 with one exponent a chunk");
  section.choice("index_coding", options.index_coding, {"packed12"}, "how positions travel: 12 bits each");
}

TopkCodec::TopkCodec(const TopkOptions& options) : density_(options.density), chunk_elems_(static_cast<size_t>(options.chunk)) {
  check(options.density > 0 && options.density <= 1, "a density was validated by the config");
  check(options.chunk >= 2 && options.chunk <= kMost12Bit, "a chunk length was validated by the config");
}

size_t TopkCodec::kept_of(size_t chunk_elems) const {
  const double kept = std::round(density_ * static_cast<double>(chunk_elems));
  return std::max<size_t>(1, static_cast<size_t>(kept));
}

size_t TopkCodec::payload_bytes(size_t elems) const {
  const size_t rest = elems % chunk_elems_;
  return elems / chunk_elems_ * block_bytes(kept_of(chunk_elems_)) + (rest == 0 ? 0 : block_bytes(kept_of(rest)));
}

Traits TopkCodec::traits(Layer layer) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  const size_t rest = elems % chunk_elems_;
  const auto share = [&](size_t chunk) { return static_cast<double>(kept_of(chunk)) / static_cast<double>(chunk); };
  double worst_share = 1;
  if (elems >= chunk_elems_) worst_share = share(chunk_elems_);
  if (rest != 0) worst_share = std::min(worst_share, share(rest));
  return {.combine = Combine::gather,
          .worst_bytes = payload_bytes(elems),
          .exact_bytes = payload_bytes(elems),
          .scratch_bytes = Workspace::bytes(chunk_elems_),
          .delta = (1 - 0x1p-21) * worst_share,
          .error_floor = 0};
}

size_t TopkCodec::encode(Layer layer, In in, Context& context, std::byte* out) const {
  require_finite(layer, in);
  const Workspace work(context.scratch, chunk_elems_);
  const size_t elems = static_cast<size_t>(layer.elems());
  std::byte* at = out;
  for (size_t begin = 0; begin < elems; begin += chunk_elems_) {
    const auto a = work.a.first(std::min(chunk_elems_, elems - begin));
    accumulate(in, begin, a);
    const size_t kept = kept_of(a.size());
    encode_chunk(a, kept, work, at);
    at += block_bytes(kept);
    if (in.residual != nullptr) std::ranges::copy(a, in.residual + begin);
  }
  return static_cast<size_t>(at - out);
}

void TopkCodec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  require_length(name(), layer, payload, payload_bytes(elems));
  const Workspace work(context.scratch, chunk_elems_);
  const auto for_each_block = [&](auto&& visit) {
    const std::byte* at = payload.data();
    for (size_t begin = 0; begin < elems; begin += chunk_elems_) {
      const size_t chunk = std::min(chunk_elems_, elems - begin);
      const auto indices = work.indices.first(kept_of(chunk));
      visit(Block(at), begin, chunk, indices);
      at += block_bytes(indices.size());
    }
  };

  for_each_block([&](const Block& block, size_t begin, size_t chunk, std::span<uint16_t> indices) {
    if (const char* what = fault(block, chunk, indices)) {
      corrupt_payload(name(), layer, "chunk " + std::to_string(begin / chunk_elems_) + ": " + what);
    }
  });
  for_each_block([&](const Block& block, size_t begin, size_t, std::span<uint16_t> indices) {
    check(unpack12(block.indices(indices.size()), indices), "the block was validated");
    const ScaledHalf scale(block.exponent);
    for (size_t i = 0; i < indices.size(); ++i) out[begin + indices[i]] += weight * scale.decode(block.half(i));
  });
}

}  // namespace thinwire::compressors
