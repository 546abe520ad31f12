// `topk`: of each block of a layer, the k elements of largest magnitude; everything else stays in the residual.
//
// The layer is flattened row-major. Under scope chunk, blocks are `chunk` elements, the last one possibly shorter; under scope global the
// layer is one block. k = max(1, round(density * len)) of a block of len elements. Chunks make the choice local (short indices, one pass)
// and give every part of a layer its say; the global choice keeps more of the square sum where magnitudes differ between parts.
//
//   bytes   a block is values (value_coding.h: 1 + 2 k as fp16, 4 k as fp32), then indices (index_coding.h: 12 bits, 2 or 4 bytes each, or
//           Rice coded). By default 897 for 256 of 4096, 18.3 times fewer than fp32   (docs/formats/payload.md)
//   error   |a - decoded|^2 <= (1 - delta) |a|^2 with delta = k / len of the worst block, times 1 - 2^-21 under fp16
//
// Proof of delta for one block, m its largest magnitude, S the square sum of a and K that of the kept part: the kept are the largest,
// so K >= S k / len. What is dropped costs S - K; under fp32 that is all. Under fp16 a kept value costs at most 2^-22 a^2 or, where its
// half is subnormal, 2^-78 m^2; of the latter there are fewer than 2^32, and m^2 <= K: together less than (2^-22 + 2^-46) K < 2^-21 K. The
// sum is below S - (1 - 2^-21) K. Values that fp16 rounds leave their error in the residual like dropped ones.
//
// It does not pay for layers whose elements are all alike, nor on gradients in front of AdamW, whose second moment shrinks the spikes of a
// sparse gradient: sparsify updates (`exchange.schedule: local_steps`). Chunked top-k with error feedback: SparseLoCo (arXiv 2508.15706);
// over whole layers: Deep Gradient Compression (arXiv 1712.01887).
#pragma once
#include <string>

#include "compressors/codec.h"
#include "compressors/strength.h"
#include "compressors/topk/index_coding.h"
#include "compressors/values/value_coding.h"
#include "config/section.h"

namespace thinwire::compressors {

struct TopkOptions {
  static constexpr Strength kStrength{"density", Strength::Sweep::tenths};
  double density = 0.0625;
  std::string scope = "chunk";
  int64_t chunk = 4096;
  std::string values = "fp16";
  std::string index_coding = "packed12";
  std::string entropy = "none";
};
void describe(config::Section& section, TopkOptions& options);

// For CodecMaker::squared_errors(): values are densities (error_curve.h).
std::vector<double> squared_errors_of(const TopkOptions& options, Layer layer, std::span<const float> a, std::span<const double> densities);

class TopkCodec final : public Codec {
 public:
  explicit TopkCodec(const TopkOptions& options);
  uint16_t id() const override { return 5; }
  std::string_view name() const override { return "topk"; }
  Traits traits(Layer layer) const override;  // under scope global, layers have fewer than 2^32 elements
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;
  std::unique_ptr<DeviceCodec> on_device() const override;  // without Rice codes, and of chunks up to 4096

 private:
  struct Block;
  size_t block_elems(size_t elems) const;  // length of all blocks but the last, of a layer of this many elements
  size_t worst_block_bytes(size_t elems) const;
  size_t worst_payload_bytes(size_t elems) const;
  bool one_length() const { return index_coding_ != IndexCoding::rice; }  // payloads of a layer never differ in length
  template <class Visit>
  void for_each_block(Layer layer, ConstBytes payload, MutableBytes scratch, Visit&& visit) const;

  double density_;
  bool global_;
  size_t chunk_elems_;
  ValueCoding value_coding_;
  IndexCoding index_coding_;
};

}  // namespace thinwire::compressors
