// Makes a tensor's numbers small with a codec of Thinwire, and shows what comes back: shrink [CODEC [KEY=VALUE...]]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "compressors/codec.h"
#include "compressors/registry.h"

using namespace thinwire;

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "topk";
  try {
    const auto made = compressors::CodecChoice().maker(name, {argv + std::min(argc, 2), argv + argc})->make();
    const auto* codec = dynamic_cast<const compressors::Codec*>(made.get());
    if (codec == nullptr) throw ConfigError(name + " is a sketch, whose sums take several ranks");

    const compressors::Layer layer{.id = 0, .rows = 64, .cols = 1024};
    std::vector<float> numbers(static_cast<size_t>(layer.elems())), residual(numbers.size()), decoded(numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(Draw(1).normal(i));

    const auto traits = codec->traits(layer);
    std::vector<std::byte> scratch(traits.scratch_bytes + 64), payload(traits.worst_bytes);
    void* aligned = scratch.data();
    size_t room = scratch.size();
    compressors::Context context;
    context.scratch = {static_cast<std::byte*>(std::align(64, traits.scratch_bytes, aligned, room)), traits.scratch_bytes};
    payload.resize(codec->encode(layer, {.x = numbers.data(), .residual = residual.data()}, context, payload.data()));
    codec->decode_add(layer, payload, 1, decoded.data(), context);

    double lost = 0, whole = 0, apart = 0;
    for (size_t i = 0; i < numbers.size(); ++i) {
      lost += std::pow(numbers[i] - decoded[i], 2);
      whole += std::pow(numbers[i], 2);
      apart = std::max(apart, std::abs(static_cast<double>(decoded[i] + residual[i] - numbers[i])));
    }
    std::printf("%s: %zu bytes for %zu (%.1f times fewer), |error|^2 is %.4f of |x|^2, and the residual has what is missing to %.1e\n",
                name.c_str(), payload.size(), 4 * numbers.size(),
                4.0 * static_cast<double>(numbers.size()) / static_cast<double>(payload.size()), lost / whole, apart);
    return apart < 1e-5 ? 0 : 1;
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
}
