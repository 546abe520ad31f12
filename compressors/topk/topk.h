// `topk`: of each chunk of a layer, the k elements of largest magnitude; everything else stays in the residual.
//
// The layer is flattened row-major and cut into chunks of `chunk` elements, the last one possibly shorter; k = max(1, round(density * len))
// of a chunk of len elements. Chunks make the choice local (12-bit indices, no pass over the whole layer) and give every part of a layer
// its say. Values travel as fp16 with one exponent a chunk (scaled_half.h).
//
//   bytes   1 + 2 k + ceil(3 k / 2) a chunk: 897 for 256 of 4096, 18.3 times fewer than fp32   (docs/formats/payload.md)
//   error   |a - decoded|^2 <= (1 - delta) |a|^2 with delta = (1 - 2^-21) k / len of the worst chunk
//
// Proof of delta for one chunk, m its largest magnitude, S the square sum of a and K that of the kept part: the kept are the largest,
// so K >= S k / len. What is dropped costs S - K. A kept value costs at most 2^-22 a^2 or, where its half is subnormal, 2^-78 m^2;
// of the latter there are fewer than 4096, and m^2 <= K: together less than (2^-22 + 2^-66) K < 2^-21 K. The sum is below
// S - (1 - 2^-21) K. Values that fp16 rounds leave their error in the residual like dropped ones.
//
// It does not pay for layers whose elements are all alike, nor on gradients in front of AdamW, whose second moment shrinks the spikes of a
// sparse gradient: sparsify updates (`exchange.schedule: local_steps`). Chunked top-k with error feedback: SparseLoCo (arXiv 2508.15706).
#pragma once
#include <string>

#include "compressors/codec.h"
#include "config/section.h"

namespace thinwire::compressors {

struct TopkOptions {
  double density = 0.0625;
  int64_t chunk = 4096;
  std::string values = "fp16";
  std::string index_coding = "packed12";
};
void describe(config::Section& section, TopkOptions& options);

class TopkCodec final : public Codec {
 public:
  explicit TopkCodec(const TopkOptions& options);
  uint16_t id() const override { return 5; }
  std::string_view name() const override { return "topk"; }
  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;

 private:
  size_t kept_of(size_t chunk_elems) const;
  size_t payload_bytes(size_t elems) const;

  double density_;
  size_t chunk_elems_;
};

}  // namespace thinwire::compressors
