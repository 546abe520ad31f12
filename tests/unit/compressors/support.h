// What the tests of codecs share: every codec under several options, inputs that hurt, and encode and decode with their buffers.
#pragma once
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/draw.h"
#include "compressors/codec.h"
#include "compressors/registry.h"
#include "compressors/sketch.h"

namespace thinwire::compressors::testing {

inline constexpr float kLargest = std::numeric_limits<float>::max();

// A codec of the registry under options ("density=50%"), each in the form of `--set`.
struct Variant {
  std::string codec;
  std::vector<std::string> options;
};
// Every codec of the registry under its defaults, and those with options under some more. New codecs come in by themselves.
std::vector<Variant> all_variants();
std::vector<Variant> all_sketch_variants();  // the same of sketches
std::shared_ptr<const Compressor> make_any(const Variant& variant);
std::shared_ptr<const Codec> make(const Variant& variant);          // null for a sketch
std::shared_ptr<const Sketch> make_sketch(const Variant& variant);  // null for a codec
std::string test_name(const ::testing::TestParamInfo<Variant>& info);
void PrintTo(const Variant& variant, std::ostream* out);  // for GoogleTest's messages

// A context whose scratch has exactly the bytes that the traits ask for, aligned as they promise.
struct Scratch {
  explicit Scratch(size_t num_bytes);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::vector<std::byte> storage;
  Context context;
};

using Payload = std::vector<std::byte>;

struct Encoded {
  Payload payload;
  std::vector<float> residual;  // empty without one
};

// The buffers are exactly as long as the traits say, so that a sanitizer sees a byte too many.
Encoded encode(const Codec& codec, Layer layer, const std::vector<float>& x, std::optional<std::vector<float>> residual = {},
               float scale = 1, float decay = 1);
void decode_add(const Codec& codec, Layer layer, const Payload& payload, float weight, std::vector<float>& out);
std::vector<float> decode(const Codec& codec, Layer layer, const Payload& payload);

inline Layer layer_of(size_t elems) { return {.id = 3, .rows = 1, .cols = static_cast<int64_t>(elems)}; }

struct Input {
  std::string name;
  std::vector<float> values;
};
std::vector<Input> hurtful_inputs(size_t elems);
std::vector<float> normal_values(size_t elems, uint64_t seed);
const std::vector<size_t>& awkward_sizes();

double square_sum(const std::vector<float>& values);
std::vector<uint32_t> bits_of(const std::vector<float>& values);

}  // namespace thinwire::compressors::testing
