#include "compressors/topk/topk.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/check.h"
#include "compressors/entropy/entropy_coded.h"
#include "compressors/guards.h"
#include "compressors/topk/device.h"
#include "compressors/topk/error_curve.h"
#include "compressors/topk/kernels.h"
#include "compressors/topk/layer_choice.h"
#include "compressors/topk/packed12.h"
#include "compressors/topk/reference.h"

namespace thinwire::compressors {
namespace {

using topk_kernels::kSlackElems;

constexpr int64_t kMostChunk = 65536;

// What is kept of one block, and behind it the scratch of the choice.
struct Workspace {
  Workspace(MutableBytes scratch, size_t kept, size_t choice_bytes) {
    check(scratch.size() >= kept_bytes(kept) + choice_bytes, "Context::scratch has traits().scratch_bytes");
    choice = scratch.first(choice_bytes);
    values = {reinterpret_cast<float*>(scratch.data() + choice_bytes), kept};
    indices = {reinterpret_cast<uint32_t*>(scratch.data() + choice_bytes + values.size_bytes()), kept};
  }
  static size_t kept_bytes(size_t kept) { return kept * sizeof(float) + kept * sizeof(uint32_t); }

  MutableBytes choice;
  std::span<float> values;
  std::span<uint32_t> indices;
};

// A chunk's elements and the scratch of cut_of().
size_t chunk_choice_bytes(size_t elems) { return elems * sizeof(float) + (elems + kSlackElems) * sizeof(uint32_t); }

void choose_of_chunk(const In& in, size_t begin, size_t elems, MutableBytes scratch, std::span<uint32_t> indices, std::span<float> values) {
  const std::span<float> a(reinterpret_cast<float*>(scratch.data()), elems);
  accumulate(in, begin, a);
  topk_kernels::select_largest(a, indices.size(), reinterpret_cast<uint32_t*>(scratch.data() + a.size_bytes()), indices.data());
  for (size_t i = 0; i < indices.size(); ++i) values[i] = a[indices[i]];
  if (in.residual != nullptr) std::ranges::copy(a, in.residual + begin);
}

std::optional<std::string> refusal_of_index_coding(const TopkOptions& options) {
  if (options.index_coding != "packed12") return std::nullopt;
  if (options.scope == "global") return "packed12 holds positions below 4096, but scope global has one block a layer: choose raw or rice";
  if (options.chunk > kMost12Bit) return "packed12 holds positions below 4096, but chunk is larger: choose raw or rice";
  return std::nullopt;
}

IndexCoding index_coding_of(const TopkOptions& options) {
  if (options.index_coding == "packed12") return IndexCoding::packed12;
  if (options.index_coding == "rice") return IndexCoding::rice;
  return options.scope == "global" ? IndexCoding::raw32 : IndexCoding::raw16;
}

}  // namespace

void describe(config::Section& section, TopkOptions& options) {
  section.fraction("density", options.density, {0.0, 1.0}, "share of each block's elements that is sent, above 0; at least one element is");
  section.rule("density", [&options]() -> std::optional<std::string> {
    if (options.density > 0) return std::nullopt;
    return "density must be above 0; the smallest useful one is one element a block";
  });
  section.choice("scope", options.scope, {"chunk", "global"},
                 "what the largest are chosen among: the elements of a chunk, or of the whole layer");
  section.integer("chunk", options.chunk, {2, kMostChunk}, "elements of a chunk, for scope chunk; at most 4096 under packed12");
  section.choice("values", options.values, {"fp16", "fp32"}, "how values travel: fp16 with one exponent a block, or as they are");
  section.choice("index_coding", options.index_coding, {"packed12", "raw", "rice"},
                 "how positions travel: 12 bits each (scope chunk), 2 bytes each (4 under scope global), or Rice coded gaps: "
                 "log2(1 / density) + 1.5 bits each");
  section.rule("index_coding", [&options] { return refusal_of_index_coding(options); });
  describe_entropy(section, options.entropy);
}

std::vector<double> squared_errors_of(const TopkOptions& options, Layer, std::span<const float> a, std::span<const double> densities) {
  std::vector<uint32_t> scratch;
  const size_t chunk = options.scope == "global" ? std::max<size_t>(1, a.size()) : static_cast<size_t>(options.chunk);
  return topk_squared_errors(a, chunk, densities, scratch);
}

TopkCodec::TopkCodec(const TopkOptions& options)
    : density_(options.density),
      global_(options.scope == "global"),
      chunk_elems_(static_cast<size_t>(options.chunk)),
      value_coding_(options.values == "fp32" ? ValueCoding::fp32 : ValueCoding::fp16),
      index_coding_(index_coding_of(options)) {
  check(options.density > 0 && options.density <= 1, "a density was validated by the config");
  check(options.chunk >= 2 && options.chunk <= kMostChunk, "a chunk length was validated by the config");
  check(!refusal_of_index_coding(options), "an index coding was validated by the config");
}

size_t TopkCodec::block_elems(size_t elems) const {
  check(!global_ || elems <= std::numeric_limits<uint32_t>::max(), "positions within a layer fit 32 bits under scope global");
  return global_ ? elems : std::min(chunk_elems_, elems);
}

size_t TopkCodec::worst_block_bytes(size_t elems) const {
  const size_t kept = kept_of(density_, elems);
  return value_bytes(value_coding_, kept) + worst_index_bytes(index_coding_, kept, elems);
}

size_t TopkCodec::worst_payload_bytes(size_t elems) const {
  if (elems == 0) return 0;
  const size_t block = block_elems(elems), rest = elems % block;
  return elems / block * worst_block_bytes(block) + (rest == 0 ? 0 : worst_block_bytes(rest));
}

Traits TopkCodec::traits(Layer layer) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  Traits traits;
  traits.combine = Combine::gather;
  traits.worst_bytes = worst_payload_bytes(elems);
  if (one_length()) traits.exact_bytes = traits.worst_bytes;
  traits.split_elems = global_ ? 0 : chunk_elems_;
  traits.delta = value_coding_ == ValueCoding::fp16 ? 1 - 0x1p-21 : 1;
  if (elems == 0) return traits;

  const size_t block = block_elems(elems), rest = elems % block;
  const auto share = [&](size_t length) { return static_cast<double>(kept_of(density_, length)) / static_cast<double>(length); };
  traits.delta *= rest == 0 ? share(block) : std::min(share(block), share(rest));
  traits.scratch_bytes =
      Workspace::kept_bytes(kept_of(density_, block)) + (global_ ? layer_choice_scratch_bytes() : chunk_choice_bytes(block));
  return traits;
}

size_t TopkCodec::encode(Layer layer, In in, Context& context, std::byte* out) const {
  if (!global_) require_finite(layer, in);  // the choice of a layer sees to it itself
  const size_t elems = static_cast<size_t>(layer.elems()), block = block_elems(elems);
  std::byte* at = out;
  for (size_t begin = 0; begin < elems; begin += block) {
    const size_t length = std::min(block, elems - begin), kept = kept_of(density_, length);
    const Workspace work(context.scratch, kept, global_ ? layer_choice_scratch_bytes() : chunk_choice_bytes(length));
    if (global_) {
      choose_of_layer(layer, in, work.choice, work.indices, work.values);
    } else {
      choose_of_chunk(in, begin, length, work.choice, work.indices, work.values);
    }
    encode_values(value_coding_, work.values, at);
    at += value_bytes(value_coding_, kept);
    at += encode_indices(index_coding_, work.indices, length, at);
    if (in.residual == nullptr) continue;
    for (size_t i = 0; i < kept; ++i) in.residual[begin + work.indices[i]] = work.values[i];
  }
  return static_cast<size_t>(at - out);
}

// A block of a payload whose values and indices are known to be good.
struct TopkCodec::Block {
  size_t begin;
  ConstBytes coded_values;
  std::span<const uint32_t> indices;
  std::span<float> values;  // room for them
};

// Validates block after block and visits each.
template <class Visit>
void TopkCodec::for_each_block(Layer layer, ConstBytes payload, MutableBytes scratch, Visit&& visit) const {
  const size_t elems = static_cast<size_t>(layer.elems()), block = block_elems(elems);
  for (size_t begin = 0; begin < elems; begin += block) {
    const size_t length = std::min(block, elems - begin), kept = kept_of(density_, length);
    const auto refuse = [&](const std::string& what) {
      corrupt_payload(name(), layer, "chunk " + std::to_string(begin / block) + ": " + what);
    };
    const Workspace work(scratch, kept, 0);
    const size_t values = value_bytes(value_coding_, kept);
    if (payload.size() < values) refuse("values are cut off");
    if (const char* what = fault_in_values(value_coding_, payload.first(values))) refuse(what);
    size_t index_bytes = 0;
    if (const char* what = decode_indices(index_coding_, payload.subspan(values), length, work.indices, index_bytes)) refuse(what);
    visit(Block{begin, payload.first(values), work.indices, work.values});
    payload = payload.subspan(values + index_bytes);
  }
  if (!payload.empty()) corrupt_payload(name(), layer, "has " + std::to_string(payload.size()) + " bytes behind its last chunk");
}

void TopkCodec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const {
  if (one_length()) require_length(name(), layer, payload, worst_payload_bytes(static_cast<size_t>(layer.elems())));
  for_each_block(layer, payload, context.scratch, [](const Block&) {});
  for_each_block(layer, payload, context.scratch, [&](const Block& block) {
    decode_values(value_coding_, block.coded_values.data(), block.values);
    for (size_t i = 0; i < block.indices.size(); ++i) out[block.begin + block.indices[i]] += weight * block.values[i];
  });
}

std::unique_ptr<DeviceCodec> TopkCodec::on_device() const {
  if (index_coding_ == IndexCoding::rice) return nullptr;
  if (global_) return make_on_device("topk_of_layer", TopkOfLayerOnDevice{.density = density_, .values = value_coding_});
  if (chunk_elems_ > kMost12Bit) return nullptr;
  return make_on_device("topk",
                        TopkOnDevice{.density = density_, .chunk_elems = chunk_elems_, .values = value_coding_, .indices = index_coding_});
}

}  // namespace thinwire::compressors
