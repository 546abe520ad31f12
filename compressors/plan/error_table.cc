#include "compressors/plan/error_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "compressors/codec.h"
#include "compressors/dense_kernels.h"
#include "compressors/sketch.h"

namespace thinwire::compressors {

namespace {

using dense_kernels::square_sum;

constexpr double kForbidden = std::numeric_limits<double>::infinity();
constexpr size_t kBlockElems = 4096;  // about; chunks and buckets of codecs divide it as a rule

MutableBytes aligned(std::vector<std::byte>& storage, size_t num_bytes) {
  storage.resize(num_bytes + 64);
  void* at = storage.data();
  size_t room = storage.size();
  return {static_cast<std::byte*>(std::align(64, num_bytes, at, room)), num_bytes};
}

double codec_error(const Codec& codec, Layer layer, std::span<const float> a) {
  const Traits traits = codec.traits(layer);
  std::vector<std::byte> storage, payload(traits.worst_bytes);
  Context context{.scratch = aligned(storage, traits.scratch_bytes)};
  std::vector<float> residual(a.size(), 0.0f);
  codec.encode(layer, {.x = a.data(), .residual = residual.data()}, context, payload.data());
  return square_sum(residual);
}

double sketch_error(const Sketch& sketch, Layer layer, std::span<const float> a) {
  constexpr int kPasses = 2;  // training has a warm memory, so the one that counts is the second
  std::vector<std::byte> storage;
  Context context{.scratch = aligned(storage, sketch.traits(layer).scratch_bytes)};
  std::vector<float> memory(sketch.memory_elems(layer)), part, error(a.begin(), a.end());
  sketch.start(layer, context.shared.fork(layer.id), memory);
  const std::vector<size_t> rounds = sketch.round_elems(layer);
  for (int pass = 0; pass < kPasses; ++pass) {
    for (size_t round = 0; round < rounds.size(); ++round) {
      part.assign(rounds[round], 0.0f);
      sketch.produce(layer, static_cast<int>(round), a.data(), memory, context, part);
      sketch.absorb(layer, static_cast<int>(round), part, memory, context);
    }
  }
  sketch.decode_add(layer, part, memory, -1, error.data(), context);
  return square_sum(error);
}

double error_of(const Compressor& compressor, Layer layer, std::span<const float> a) {
  try {
    if (const auto* codec = dynamic_cast<const Codec*>(&compressor)) return codec_error(*codec, layer, a);
    if (const auto* sketch = dynamic_cast<const Sketch*>(&compressor)) return sketch_error(*sketch, layer, a);
  } catch (const NonFiniteError&) {
    return kForbidden;
  }
  check(false, "a compressor is a codec or a sketch");
  return kForbidden;
}

// The layer that a family is measured on, flat where it is a sample.
struct Sample {
  Layer layer;
  std::span<const float> a;
  std::vector<float> storage;
};

Sample sample_for(const Compressor& compressor, Layer layer, std::span<const float> a, int64_t sample_elems, const Draw& draw) {
  const size_t split = compressor.traits(layer).split_elems;
  const auto limit = static_cast<size_t>(sample_elems);
  if (limit == 0 || split == 0 || a.size() <= limit || compressor.traits(layer).combine == Combine::sketch) return {layer, a, {}};
  const size_t block = split * std::max<size_t>(1, kBlockElems / split);
  if (block >= a.size()) return {layer, a, {}};
  Sample sample;
  for (const size_t begin : sample_blocks(a.size(), block, limit, draw)) {
    const auto part = a.subspan(begin, std::min(block, a.size() - begin));
    sample.storage.insert(sample.storage.end(), part.begin(), part.end());
  }
  sample.a = sample.storage;
  sample.layer = {.id = layer.id, .rows = 1, .cols = static_cast<int64_t>(sample.a.size())};
  return sample;
}

void measure_family(const CandidateSet& set, const Family& family, const Sample& sample, std::span<double> errors) {
  const auto curve = family.values.empty() ? std::nullopt : family.maker->squared_errors(sample.layer, sample.a, family.values);
  if (curve) {
    check(curve->size() == family.values.size(), "a curve has an error for each value");
    std::ranges::copy(*curve, errors.begin());
    return;
  }
  for (size_t i = 0; i < errors.size(); ++i) errors[i] = error_of(*set.candidates[family.begin + i].compressor, sample.layer, sample.a);
}

}  // namespace

std::vector<size_t> sample_blocks(size_t elems, size_t block_elems, size_t sample_elems, const Draw& draw) {
  const size_t all = (elems + block_elems - 1) / block_elems, whole = elems / block_elems;
  const size_t wanted = std::max<size_t>(1, sample_elems / block_elems);
  std::vector<size_t> begins;
  if (wanted >= whole) {
    for (size_t b = 0; b < all; ++b) begins.push_back(b * block_elems);
    return begins;
  }
  for (size_t stratum = 0; stratum < wanted; ++stratum) {
    const size_t first = stratum * whole / wanted, last = (stratum + 1) * whole / wanted;
    begins.push_back((first + draw.below(stratum, last - first)) * block_elems);
  }
  return begins;
}

void measure_layer(const CandidateSet& set, Layer layer, std::span<const float> a, int64_t sample_elems, const Draw& draw,
                   ErrorTable& table, size_t row) {
  check(static_cast<size_t>(layer.elems()) == a.size(), "a layer's numbers have its shape");
  check(table.candidates() == set.candidates.size(), "the table is of these candidates");
  double squared_norm = square_sum(a);
  if (!std::isfinite(squared_norm)) squared_norm = kForbidden;  // a NaN is less, more and equal to nothing: not for sums and comparisons
  table.squared_norm(row) = squared_norm;
  std::span<double> errors = table.errors(row);
  std::ranges::fill(errors, std::isfinite(squared_norm) ? 0.0 : kForbidden);
  errors[0] = 0;
  if (!std::isfinite(squared_norm) || a.empty()) return;

  for (size_t f = 1; f < set.families.size(); ++f) {  // after `none`
    const Family& family = set.families[f];
    const auto of_family = errors.subspan(family.begin, std::max<size_t>(1, family.values.size()));
    if (family.begin == set.candidates.size()) continue;  // no strength that its codec takes
    const Sample sample = sample_for(*set.candidates[family.begin].compressor, layer, a, sample_elems, draw.fork(layer.id));
    measure_family(set, family, sample, of_family);
    const double sampled = square_sum(sample.a);
    for (double& error : of_family) {
      if (sample.a.size() != a.size() && sampled > 0) error *= squared_norm / sampled;
      if (sample.a.size() != a.size() && sampled == 0) error = squared_norm;  // nothing was seen: assume that all is lost
      if (!std::isfinite(error)) error = kForbidden;
    }
  }
}

}  // namespace thinwire::compressors
