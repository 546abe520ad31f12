// One codec on floats, there and back: what codec.h promises of encode(), for whatever numbers and options the bytes say. Flags of the
// head: 0 with a residual, 1 and 2 the scale, 3 a decay below 1, 4 spread (floats.h).
#include <algorithm>
#include <cmath>
#include <limits>

#include "compressors/codec.h"
#include "floats.h"
#include "layer_input.h"

namespace thinwire::fuzz {
namespace {

using compressors::Codec;
using compressors::In;
using compressors::Layer;
using compressors::Traits;

struct Operands {
  std::vector<float> x, residual;
  float scale, decay;
  bool has_residual;

  explicit Operands(const LayerInput& input) {
    const size_t elems = static_cast<size_t>(input.head.layer().elems());
    has_residual = input.head.flag(0);
    scale = std::array{1.0f, -0.37f, 0.25f, 2.0f}[input.head.flags >> 1 & 3];
    decay = input.head.flag(3) ? 0.95f : 1.0f;
    x = repeated_floats(input.rest, elems, 0, input.head.flag(4));
    if (has_residual) residual = repeated_floats(input.rest, elems, 1, input.head.flag(4));
  }

  // decay * residual + scale * x; volatile, so that each is rounded to fp32 whatever the compiler thinks.
  std::vector<float> sum() const {
    std::vector<float> a(x.size());
    for (size_t i = 0; i < a.size(); ++i) {
      const volatile float fresh = scale * x[i], kept = has_residual ? decay * residual[i] : 0.0f;
      a[i] = has_residual ? kept + fresh : fresh;
    }
    return a;
  }
};

struct Encoded {
  Bytes payload;
  std::vector<float> residual;
  bool refused = false;
};

Encoded encode(const Codec& codec, Layer layer, const Operands& operands, uint64_t seed, std::byte fill) {
  const Traits traits = codec.traits(layer);
  ExactContext scratch(traits.scratch_bytes, seed, fill);
  Encoded encoded{Bytes(traits.worst_bytes, std::byte{0xa5}), operands.residual};
  const In in{.x = operands.x.data(),
              .scale = operands.scale,
              .residual = operands.has_residual ? encoded.residual.data() : nullptr,
              .decay = operands.decay};
  try {
    const size_t written = codec.encode(layer, in, scratch.context, encoded.payload.data());
    require(written <= traits.worst_bytes, "a payload is at most worst_bytes long");
    require(written == traits.exact_bytes.value_or(written), "a payload is exact_bytes long");
    require((written == 0) == (layer.elems() == 0), "no bytes stand for no elements and for nothing else");
    encoded.payload.resize(written);
    encoded.payload.shrink_to_fit();
  } catch (const NonFiniteError&) {
    encoded.refused = true;
    require(std::ranges::count(encoded.payload, std::byte{0xa5}) == std::ssize(encoded.payload), "refused, but wrote to the payload");
    for (size_t i = 0; i < encoded.residual.size(); ++i) {
      const bool same = std::bit_cast<uint32_t>(encoded.residual[i]) == std::bit_cast<uint32_t>(operands.residual[i]);
      require_at(i, same, "of the residual is as it was before the refusal");
    }
  }
  return encoded;
}

void require_error_bound(const Traits& traits, const std::vector<float>& a, const std::vector<float>& decoded) {
  double error = 0, squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - decoded[i], 2);
    squares += std::pow(static_cast<double>(a[i]), 2);
  }
  const double bound = (1 - traits.delta) * squares + static_cast<double>(a.size()) * traits.error_floor * traits.error_floor;
  require(error <= bound * (1 + 1e-12), "the error is within the bound that traits() gives");  // the sums themselves are rounded
}

void run(const std::string& name, ConstBytes bytes) {
  const LayerInput input(bytes);
  const auto compressor = make_compressor(name, input.head.options);
  const auto* codec = dynamic_cast<const Codec*>(compressor.get());
  if (codec == nullptr) return;
  const Layer layer = input.head.layer();
  const Operands operands(input);
  const std::vector<float> a = operands.sum();
  const Encoded encoded = encode(*codec, layer, operands, input.seed, std::byte{0xff});
  const bool finite = std::ranges::all_of(a, [](float value) { return std::isfinite(value); });
  require(encoded.refused == !finite, "exactly what is not finite is refused");
  if (!finite) return;
  const Encoded again = encode(*codec, layer, operands, input.seed, std::byte{0x11});
  require(again.payload == encoded.payload && again.residual == encoded.residual, "encoding twice gives the same");

  constexpr float kLargest = std::numeric_limits<float>::max();
  std::vector<float> decoded(a.size(), 0.0f);
  ExactContext scratch(codec->traits(layer).scratch_bytes, input.seed, std::byte{0xff});
  codec->decode_add(layer, encoded.payload, 1, decoded.data(), scratch.context);
  for (size_t i = 0; i < a.size(); ++i) {
    require_at(i, std::isfinite(decoded[i]), "decodes to a finite value");
    if (!operands.has_residual) continue;
    require_at(i, std::isfinite(encoded.residual[i]), "leaves a finite residual");
    require_at(i, encoded.residual[i] == std::clamp(a[i] - decoded[i], -kLargest, kLargest), "leaves what was not sent");
  }
  require_error_bound(codec->traits(layer), a, decoded);
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds;
  const std::vector<Head> heads = seed_heads();
  const auto values = hurtful_floats();
  for (size_t i = 0; i < heads.size(); ++i) seeds.push_back(bytes_of_input(heads[i], bytes_of(std::span(values[i % values.size()]))));
  return seeds;
}

}  // namespace

Target encode_target(const std::string& codec) {
  return {"encode-" + codec, [codec](ConstBytes input) { run(codec, input); }, seeds};
}

}  // namespace thinwire::fuzz
