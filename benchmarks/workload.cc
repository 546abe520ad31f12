#include "workload.h"

#include <algorithm>

#include "compressors/registry.h"
#include "memory_floor.h"
#include "timing.h"

namespace thinwire::benchmarks {
namespace {

using compressors::Codec;
using compressors::Sketch;

// Repeats after some million elements, which saves a minute and gives no two neighbouring chunks the same numbers.
std::vector<float> normal_values(size_t elems, uint64_t seed, float deviation) {
  constexpr size_t kPeriod = (1 << 20) + 7;
  const Draw draw(seed);
  std::vector<float> values(elems);
  for (size_t i = 0; i < elems; ++i) {
    values[i] = i < kPeriod ? deviation * static_cast<float>(draw.normal(i)) : values[i - kPeriod];
  }
  return values;
}

}  // namespace

std::unique_ptr<compressors::Compressor> make_compressor(const std::string& name, const std::vector<std::string>& options) {
  return compressors::CodecChoice().maker(name, options)->make();
}

Workload::Workload(size_t elems)
    : layer_{.id = 1, .rows = static_cast<int64_t>(elems / 4096), .cols = 4096},
      x_(normal_values(static_cast<size_t>(layer_.elems()), 1, 1e-3f)),
      start_(normal_values(x_.size(), 2, 2e-3f)),
      residual_(start_),
      out_(x_.size(), 0.0f) {}

void Workload::prepare(const Codec& codec) {
  payload_.resize(codec.traits(layer_).worst_bytes);
  prepare_scratch(codec);
}

void Workload::prepare(const Sketch& sketch) {
  memory_.assign(sketch.memory_elems(layer_), 0.0f);
  sketch.start(layer_, Draw(4), memory_);
  payload_bytes_ = sketch.traits(layer_).worst_bytes;
  prepare_scratch(sketch);
}

void Workload::prepare_scratch(const compressors::Compressor& compressor) {
  scratch_bytes_ = compressor.traits(layer_).scratch_bytes;
  scratch_.reset(static_cast<std::byte*>(::operator new (scratch_bytes_, std::align_val_t{64})));
}

compressors::Context Workload::context() { return {.scratch = {scratch_.get(), scratch_bytes_}, .own = Draw(3), .shared = Draw(4)}; }

size_t Workload::encode(const Codec& codec) {
  compressors::Context context = this->context();
  return codec.encode(layer_, {.x = x_.data(), .residual = residual_.data()}, context, payload_.data());
}

std::string Workload::round_trip(const Codec& codec) {
  residual_ = start_;
  std::ranges::fill(out_, 0.0f);
  payload_bytes_ = encode(codec);
  compressors::Context context = this->context();
  codec.decode_add(layer_, {payload_.data(), payload_bytes_}, 1, out_.data(), context);
  for (size_t i = 0; i < x_.size(); ++i) {
    const float a = start_[i] + x_[i];
    if (residual_[i] != a - out_[i]) return "element " + std::to_string(i) + " leaves another residual than a - decoded";
  }
  return {};
}

double Workload::encode_s(const Codec& codec) {
  residual_ = start_;
  return seconds_of([&] { payload_bytes_ = encode(codec); });
}

double Workload::encode_floor_s() {
  residual_ = start_;
  return seconds_of([&] { stream_encode(x_.data(), residual_.data(), x_.size()); });
}

double Workload::decode_s(const Codec& codec) {
  compressors::Context context = this->context();
  return seconds_of([&] { codec.decode_add(layer_, {payload_.data(), payload_bytes_}, 1, out_.data(), context); });
}

double Workload::decode_floor_s() {
  return seconds_of([&] { stream_decode(out_.data(), out_.size()); });
}

double Workload::rounds_s(const Sketch& sketch) {
  compressors::Context context = this->context();
  const std::vector<size_t> round_elems = sketch.round_elems(layer_);
  double seconds = 0;
  for (size_t round = 0; round < round_elems.size(); ++round) {
    last_part_.resize(round_elems[round]);
    seconds += seconds_of([&] {
      sketch.produce(layer_, static_cast<int>(round), x_.data(), memory_, context, last_part_);
      sketch.absorb(layer_, static_cast<int>(round), last_part_, memory_, context);
    });
  }
  return seconds;
}

double Workload::rounds_floor_s() {
  return seconds_of([&] { sum_ = stream_read(x_.data(), x_.size()); });
}

double Workload::decode_s(const Sketch& sketch) {
  compressors::Context context = this->context();
  return seconds_of([&] { sketch.decode_add(layer_, last_part_, memory_, 1, out_.data(), context); });
}

}  // namespace thinwire::benchmarks
