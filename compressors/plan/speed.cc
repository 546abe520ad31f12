#include "compressors/plan/speed.h"

#include <algorithm>
#include <memory>

#include "base/stopwatch.h"
#include "compressors/codec.h"
#include "compressors/sketch.h"

namespace thinwire::compressors {

namespace {

constexpr Layer kLayer{.id = 0, .rows = 256, .cols = 256};
constexpr int kRuns = 3;

template <class Work>
double best_of_runs(Work&& work) {
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const Stopwatch watch;
    work();
    best = run == 0 ? watch.seconds() : std::min(best, watch.seconds());
  }
  return best / static_cast<double>(kLayer.elems());
}

struct Workplace {
  explicit Workplace(const Traits& traits) : storage(traits.scratch_bytes + 64), payload(traits.worst_bytes) {
    void* at = storage.data();
    size_t room = storage.size();
    context.scratch = {static_cast<std::byte*>(std::align(64, traits.scratch_bytes, at, room)), traits.scratch_bytes};
  }
  std::vector<std::byte> storage, payload;
  Context context;
  std::vector<float> residual = std::vector<float>(static_cast<size_t>(kLayer.elems())), out = residual;
};

CodecSpeed speed_of(const Codec& codec, const std::vector<float>& x) {
  Workplace work(codec.traits(kLayer));
  size_t bytes = 0;
  const double encode = best_of_runs([&] {
    bytes = codec.encode(kLayer, {x.data(), 1, work.residual.data(), 1}, work.context, work.payload.data());
  });
  const double decode = best_of_runs([&] { codec.decode_add(kLayer, {work.payload.data(), bytes}, 1, work.out.data(), work.context); });
  return {encode, decode};
}

CodecSpeed speed_of(const Sketch& sketch, const std::vector<float>& x) {
  Workplace work(sketch.traits(kLayer));
  std::vector<float> memory(sketch.memory_elems(kLayer)), part;
  const auto rounds = sketch.round_elems(kLayer);
  sketch.start(kLayer, work.context.shared, memory);
  const double encode = best_of_runs([&] {
    for (size_t round = 0; round < rounds.size(); ++round) {
      part.assign(rounds[round], 0.0f);
      sketch.produce(kLayer, static_cast<int>(round), x.data(), memory, work.context, part);
      sketch.absorb(kLayer, static_cast<int>(round), part, memory, work.context);
    }
  });
  const double decode = best_of_runs([&] { sketch.decode_add(kLayer, part, memory, 1, work.out.data(), work.context); });
  return {encode, decode};
}

}  // namespace

std::vector<CodecSpeed> measure_speeds(const CandidateSet& set) {
  const Draw draw(1);
  std::vector<float> x(static_cast<size_t>(kLayer.elems()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(draw.normal(i));
  std::vector<CodecSpeed> speeds;
  for (const Candidate& candidate : set.candidates) {
    const auto* codec = dynamic_cast<const Codec*>(candidate.compressor.get());
    speeds.push_back(codec != nullptr ? speed_of(*codec, x) : speed_of(dynamic_cast<const Sketch&>(*candidate.compressor), x));
  }
  return speeds;
}

}  // namespace thinwire::compressors
