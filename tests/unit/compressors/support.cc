#include "support.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "config/load.h"

namespace thinwire::compressors::testing {

std::vector<Variant> all_variants() {
  std::vector<Variant> variants;
  for (const CodecEntry& entry : codec_registry()) {
    if (make({std::string(entry.name), {}})) variants.push_back({std::string(entry.name), {}});
  }
  const std::vector<std::vector<std::string>> topk_options{
      {"density=0.01%"},          {"density=1.5625%", "chunk=64"}, {"density=1.5625%", "chunk=4095"}, {"density=50%", "chunk=2"},
      {"density=50%", "chunk=7"}, {"density=99.9%", "chunk=4095"}, {"density=100%", "chunk=7"},       {"density=100%"},
  };
  for (const auto& options : topk_options) variants.push_back({"topk", options});
  const std::vector<std::vector<std::string>> sparseloco_options{
      {"k=1"},
      {"k=300", "vectors=divisor"},
      {"k=1365", "bits=3", "index_coding=packed12"},
      {"k=4096", "bits=8"},
      {"index_coding=packed12"},
      {"entropy=rans"},
      {"k=4096", "bits=4", "entropy=rans"},
  };
  for (const auto& options : sparseloco_options) variants.push_back({"sparseloco", options});
  const std::vector<std::vector<std::string>> quantize_options{
      {"bits=1"},
      {"bits=3", "bucket=8"},
      {"bits=5", "bucket=4096"},
      {"bits=8"},
      {"bits=1", "rounding=stochastic"},
      {"bits=2", "rounding=stochastic"},
      {"bits=7", "bucket=24", "rounding=stochastic"},
      {"scheme=qsgd"},
      {"scheme=qsgd", "bits=2", "bucket=64"},
      {"scheme=qsgd", "bits=8", "rounding=stochastic"},
      {"scheme=qsgd", "bits=6", "bucket=65536"},
      {"entropy=rans"},
  };
  for (const auto& options : quantize_options) variants.push_back({"quantize", options});
  for (const char* block : {"block=8", "block=64", "block=65536"}) variants.push_back({"sign", {block}});
  const std::vector<std::vector<std::string>> more_topk_options{
      {"index_coding=raw", "chunk=65536", "values=fp32"},
      {"index_coding=raw", "chunk=100", "density=3%"},
      {"index_coding=rice"},
      {"entropy=rans"},
      {"index_coding=rice", "density=40%", "chunk=9"},
      {"index_coding=rice", "density=100%", "values=fp32"},
      {"scope=global", "index_coding=raw", "density=1%"},
      {"scope=global", "index_coding=rice", "density=0.01%"},
      {"scope=global", "index_coding=rice", "density=30%", "values=fp32"},
      {"scope=global", "index_coding=raw", "density=100%"},
  };
  for (const auto& options : more_topk_options) variants.push_back({"topk", options});
  return variants;
}

std::vector<Variant> all_sketch_variants() {
  std::vector<Variant> variants;
  for (const CodecEntry& entry : codec_registry()) {
    if (make_sketch({std::string(entry.name), {}})) variants.push_back({std::string(entry.name), {}});
  }
  for (const char* rank : {"rank=1", "rank=2", "rank=7", "rank=32"}) variants.push_back({"powersgd", {rank, "min_compression=0"}});
  variants.push_back({"powersgd", {"rank=3", "min_compression=0", "warm_start=false"}});
  for (const char* density : {"density=0.01%", "density=75%"}) variants.push_back({"randomk", {density}});
  for (const char* density : {"density=30%", "density=100%"}) variants.push_back({"randomk", {density, "unbiased=true"}});
  return variants;
}

std::shared_ptr<const Compressor> make_any(const Variant& variant) {
  for (const CodecEntry& entry : codec_registry()) {
    if (entry.name != variant.codec) continue;
    const auto maker = entry.maker();
    config::Section section;
    maker->describe_options(section);
    config::load(section, {}, variant.options);
    return maker->make();
  }
  throw std::logic_error("no codec '" + variant.codec + "' in the registry");
}

std::shared_ptr<const Codec> make(const Variant& variant) { return std::dynamic_pointer_cast<const Codec>(make_any(variant)); }

std::shared_ptr<const Sketch> make_sketch(const Variant& variant) { return std::dynamic_pointer_cast<const Sketch>(make_any(variant)); }

std::string test_name(const ::testing::TestParamInfo<Variant>& info) {
  std::string name = info.param.codec;
  for (const std::string& option : info.param.options) {
    name += '_';
    for (const char c : option) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name;
}

void PrintTo(const Variant& variant, std::ostream* out) { *out << test_name({variant, 0}); }

Scratch::Scratch(size_t num_bytes) : storage(num_bytes + 64) {
  void* at = storage.data();
  size_t room = storage.size();
  context.scratch = {static_cast<std::byte*>(std::align(64, num_bytes, at, room)), num_bytes};
}

Encoded encode(const Codec& codec, Layer layer, const std::vector<float>& x, std::optional<std::vector<float>> residual, float scale,
               float decay) {
  const Traits traits = codec.traits(layer);
  Scratch scratch(traits.scratch_bytes);
  Encoded encoded{Payload(traits.worst_bytes), residual.value_or(std::vector<float>())};
  const In in{.x = x.data(), .scale = scale, .residual = residual ? encoded.residual.data() : nullptr, .decay = decay};
  encoded.payload.resize(codec.encode(layer, in, scratch.context, encoded.payload.data()));
  encoded.payload.shrink_to_fit();
  return encoded;
}

void decode_add(const Codec& codec, Layer layer, const Payload& payload, float weight, std::vector<float>& out) {
  Scratch scratch(codec.traits(layer).scratch_bytes);
  codec.decode_add(layer, payload, weight, out.data(), scratch.context);
}

std::vector<float> decode(const Codec& codec, Layer layer, const Payload& payload) {
  std::vector<float> out(static_cast<size_t>(layer.elems()), 0.0f);
  decode_add(codec, layer, payload, 1, out);
  return out;
}

std::vector<float> normal_values(size_t elems, uint64_t seed) {
  const Draw draw(seed);
  std::vector<float> values(elems);
  for (size_t i = 0; i < elems; ++i) values[i] = static_cast<float>(draw.normal(i));
  return values;
}

namespace {

// A longer run of draws begins with the shorter ones, and a sanitizer makes them dear: drawn once for the sizes that tests ask for again
// and again.
struct Draws {
  explicit Draws(size_t elems) : normal(normal_values(elems, 1)), spread(normal_values(elems, 2)) {
    for (size_t i = 0; i < elems; ++i) {
      heavy.push_back(normal[i] * std::exp(spread[i]));
      wide.push_back(normal[i] * std::pow(10.0f, std::clamp(10 * spread[i], -30.0f, 30.0f)));
    }
  }
  std::vector<float> normal, spread, heavy, wide;
};

std::shared_ptr<const Draws> draws_of(size_t elems) {
  static const auto often = std::make_shared<const Draws>(awkward_sizes().back());
  return elems <= often->normal.size() ? often : std::make_shared<const Draws>(elems);
}

}  // namespace

std::vector<Input> hurtful_inputs(size_t elems) {
  const auto draws = draws_of(elems);
  const auto& normal = draws->normal;
  const auto from = [&](auto&& f) {
    std::vector<float> values(elems);
    for (size_t i = 0; i < elems; ++i) values[i] = f(i);
    return values;
  };
  constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
  return {
      {"normal", from([&](size_t i) { return normal[i]; })},
      {"heavy tail", from([&](size_t i) { return draws->heavy[i]; })},
      {"from 1e-30 to 1e30", from([&](size_t i) { return draws->wide[i]; })},
      {"zero", from([](size_t) { return 0.0f; })},
      {"negative zero", from([](size_t) { return -0.0f; })},
      {"zeros among others", from([&](size_t i) { return i % 5 == 0 || i / 64 % 3 == 1 ? (i % 2 == 0 ? 0.0f : -0.0f) : normal[i]; })},
      {"negative", from([&](size_t i) { return -std::fabs(normal[i]) - 0.1f; })},
      {"constant", from([](size_t) { return -0.3f; })},
      {"one outlier", from([&](size_t i) { return i == elems / 2 ? 1e30f : normal[i]; })},
      {"denormal", from([&](size_t i) { return kSmallest * std::round(1000 * normal[i]); })},
      {"normal and denormal", from([&](size_t i) { return i % 2 == 0 ? 1e-30f * normal[i] : kSmallest * static_cast<float>(i % 9); })},
      {"tiny", from([&](size_t i) { return 1e-12f * normal[i]; })},
      {"largest", from([&](size_t i) { return i % 3 == 0 ? -kLargest : kLargest; })},
      {"largest and half of it", from([&](size_t i) { return i % 3 == 0   ? kLargest
                                                             : i % 3 == 1 ? -kLargest
                                                                          : kLargest / 2; })},
      {"largest and smallest", from([&](size_t i) { return i % 3 == 0 ? kLargest : kSmallest; })},
  };
}

const std::vector<size_t>& awkward_sizes() {
  static const std::vector<size_t> sizes{0, 1, 2, 3, 7, 63, 64, 65, 197, 1023, 1025, 4094, 4095, 4096, 4097, 3 * 4096 + 5};
  return sizes;
}

double square_sum(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return sum;
}

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

}  // namespace thinwire::compressors::testing
