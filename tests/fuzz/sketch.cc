// All rounds of one sketch on floats: every span is exactly as long as it says, what is decoded is finite and no further off than the
// traits promise. Flag 4 of the head is spread (floats.h); 0 repeats the exchange with the memory that the first one left; 1 lets means be
// any finite numbers, for they come from peers.
#include <algorithm>
#include <cmath>

#include "compressors/sketch.h"
#include "floats.h"
#include "layer_input.h"

namespace thinwire::fuzz {
namespace {

using compressors::Layer;
using compressors::Sketch;

// Sums of products of numbers up to here stay within fp32, in layers as small as these.
constexpr float kOrdinary = 1e15f;

std::vector<float> ordinary(std::vector<float> values) {
  for (float& value : values) {
    if (!(std::fabs(value) <= kOrdinary)) value = 1;
  }
  return values;
}

std::vector<float> exchange(const Sketch& sketch, Layer layer, const std::vector<float>& a, uint64_t seed, std::byte fill,
                            std::vector<float>& memory) {
  ExactContext scratch(sketch.traits(layer).scratch_bytes, seed, fill);
  std::vector<float> part;
  const std::vector<size_t> rounds = sketch.round_elems(layer);
  for (size_t round = 0; round < rounds.size(); ++round) {
    part = std::vector<float>(rounds[round]);
    sketch.produce(layer, static_cast<int>(round), a.data(), memory, scratch.context, part);
    sketch.absorb(layer, static_cast<int>(round), part, memory, scratch.context);
  }
  std::vector<float> decoded(a.size(), 0.0f);
  sketch.decode_add(layer, part, memory, 1, decoded.data(), scratch.context);
  return decoded;
}

double square_sum(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return sum;
}

// Of an exchange with oneself. fp32 rounds sums of products of up to 2 (rows + cols) terms.
void require_promise(const compressors::Traits& traits, const std::vector<float>& a, std::vector<float> decoded) {
  for (size_t i = 0; i < a.size(); ++i) decoded[i] -= a[i];
  const double bound = (1 - traits.delta) * square_sum(a) + static_cast<double>(a.size()) * traits.error_floor * traits.error_floor;
  require(square_sum(decoded) <= bound * 1.01 + 1e-4 * square_sum(a) + 1e-60, "is no further off than the traits promise");
}

// Whatever peers make of the means: what is decoded stays finite.
void hostile_means(const Sketch& sketch, Layer layer, const std::vector<float>& means, uint64_t seed) {
  std::vector<float> memory(sketch.memory_elems(layer));
  sketch.start(layer, Draw(1), memory);
  ExactContext scratch(sketch.traits(layer).scratch_bytes, seed, std::byte{0xff});
  const std::vector<size_t> rounds = sketch.round_elems(layer);
  std::vector<float> mean;
  for (size_t round = 0; round < rounds.size(); ++round) {
    mean = std::vector<float>(rounds[round]);
    for (size_t i = 0; i < mean.size(); ++i) mean[i] = means[(i + round) % means.size()];
    sketch.absorb(layer, static_cast<int>(round), mean, memory, scratch.context);
  }
  std::vector<float> decoded(static_cast<size_t>(layer.elems()), 0.0f);
  sketch.decode_add(layer, mean, memory, 1, decoded.data(), scratch.context);
  require(std::ranges::all_of(decoded, [](float value) { return std::isfinite(value); }), "any finite means decode to finite values");
}

void run(const std::string& name, ConstBytes bytes) {
  const LayerInput input(bytes);
  const auto compressor = make_compressor(name, input.head.options);
  const auto* sketch = dynamic_cast<const Sketch*>(compressor.get());
  if (sketch == nullptr) return;
  const Layer layer = input.head.layer();
  const compressors::Traits traits = sketch->traits(layer);
  size_t floats = 0;
  for (const size_t elems : sketch->round_elems(layer)) floats += elems;
  require(traits.worst_bytes == floats * sizeof(float) && traits.exact_bytes == traits.worst_bytes,
          "the rounds are as long as the traits say");
  if (input.head.flag(1) && layer.elems() > 0) {
    auto means = repeated_floats(input.rest, static_cast<size_t>(layer.elems()), 0, input.head.flag(4));
    for (float& mean : means) mean = std::isfinite(mean) ? mean : 1;
    return hostile_means(*sketch, layer, means, input.seed);
  }
  const auto a = ordinary(repeated_floats(input.rest, static_cast<size_t>(layer.elems()), 0, input.head.flag(4)));
  std::vector<float> memory(sketch->memory_elems(layer)), same(memory);
  sketch->start(layer, Draw(1), memory);
  sketch->start(layer, Draw(1), same);
  for (int times = input.head.flag(0) ? 2 : 1; times > 0; --times) {
    const std::vector<float> decoded = exchange(*sketch, layer, a, input.seed, std::byte{0xff}, memory);
    require(std::ranges::all_of(decoded, [](float value) { return std::isfinite(value); }), "what is finite decodes to finite values");
    require_promise(traits, a, decoded);
    require(exchange(*sketch, layer, a, input.seed, std::byte{0x11}, same) == decoded, "the same exchange gives the same");
  }
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds;
  for (const Head& head : seed_heads()) {
    for (const auto& values : {std::vector<float>{1, -2, 3, 0.5f, 1e-3f, -7, 11}, hurtful_floats()[2]}) {
      seeds.push_back(bytes_of_input(head, bytes_of(std::span(values))));
    }
  }
  return seeds;
}

}  // namespace

Target sketch_target(const std::string& name) {
  return {"sketch-" + name, [name](ConstBytes input) { run(name, input); }, seeds};
}

}  // namespace thinwire::fuzz
