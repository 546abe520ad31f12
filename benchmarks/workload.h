// What all benchmarks work on: a large layer of normal numbers, an older residual, and the buffers of one compressor.
#pragma once
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "compressors/codec.h"
#include "compressors/sketch.h"

namespace thinwire::benchmarks {

// The compressor under options of the form "density=1%". ConfigError for options that it does not have.
std::unique_ptr<compressors::Compressor> make_compressor(const std::string& name, const std::vector<std::string>& options);

class Workload {
 public:
  explicit Workload(size_t elems);  // rows of 4096
  void prepare(const compressors::Codec& codec);
  void prepare(const compressors::Sketch& sketch);

  // Encodes x + residual, decodes onto zeros, and compares: an empty text, or what is wrong.
  std::string round_trip(const compressors::Codec& codec);

  // Seconds of one pass. The residual is put back before; what that costs is not counted.
  double encode_s(const compressors::Codec& codec);
  double encode_floor_s();
  double decode_s(const compressors::Codec& codec);
  double decode_floor_s();

  // Of a sketch: all rounds of one rank on its own, and what the last part decodes to.
  double rounds_s(const compressors::Sketch& sketch);
  double rounds_floor_s();
  double decode_s(const compressors::Sketch& sketch);

  compressors::Layer layer() const { return layer_; }
  const std::vector<float>& x() const { return x_; }
  size_t payload_bytes() const { return payload_bytes_; }

 private:
  void prepare_scratch(const compressors::Compressor& compressor);
  compressors::Context context();
  size_t encode(const compressors::Codec& codec);

  compressors::Layer layer_;
  std::vector<float> x_, start_, residual_, out_;
  std::vector<std::byte> payload_;
  std::vector<float> memory_, last_part_;
  float sum_ = 0;  // kept, so that no compiler drops the pass that makes it
  struct Free {
    void operator()(std::byte* at) const { ::operator delete (at, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte, Free> scratch_;
  size_t scratch_bytes_ = 0, payload_bytes_ = 0;
};

}  // namespace thinwire::benchmarks
