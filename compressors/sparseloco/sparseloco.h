// `sparseloco`: of each block of a tensor the largest elements, and of their values 2 bits each (Sarfi et al., SparseLoCo, arXiv
// 2508.15706).
//
// A matrix is cut into blocks of up to 64 x 64, a vector into chunks of 4096 (blocks.h). Of a block of len elements the k' = max(1, round(k
// * len / 4096)) of largest magnitude are kept, the first ones row-major among equals. The n kept values of the whole tensor are sorted
// into 2^bits bins and become their bin's mean (bins.h); where there are no more values than bins, each is sent as it is, in fp32.
// Everything else, the error of the bins included, stays in the residual.
//
//   bytes   4 min(n, 2^bits), and a stream of bits: for each block its positions, then `bits` a value. With k = 64 and Rice-coded positions
//           9.5 bits a kept value: 215 times fewer than fp32   (docs/formats/payload.md)
//   error   |a - decoded|^2 <= |a|^2, and <= (1 - k'/len) |a|^2 of the worst block where values are sent as they are
//
// Proof: what is dropped is an error of its own square sum. What is kept errs by at most its square sum (bins.h), so by nothing that grows;
// or by nothing at all, and then the kept are the largest k' of len. More than delta = 0 cannot be guaranteed under bins: kept values +1
// and -1 may share a bin, whose mean is 0. On gradients and drifts two bins carry nearly everything, and most of the kept energy arrives.
//
// The payloads are gathered, not summed, and divided by the number of all ranks, as the paper says; the outer step size applies to that
// mean alone. Where the paper and its code differ the paper is the default (docs/methods/sparseloco.md).
#pragma once
#include <string>

#include "compressors/codec.h"
#include "compressors/sparseloco/plan.h"
#include "compressors/strength.h"
#include "config/section.h"

namespace thinwire::compressors {

struct SparseLocoOptions {
  static constexpr Strength kStrength{"k", Strength::Sweep::doublings};
  int64_t k = 64;
  int64_t bits = 2;
  std::string vectors = "4096";
  std::string index_coding = "rice";
  std::string entropy = "none";
};
void describe(config::Section& section, SparseLocoOptions& options);

class SparseLocoCodec final : public Codec {
 public:
  explicit SparseLocoCodec(const SparseLocoOptions& options);
  uint16_t id() const override { return 8; }
  std::string_view name() const override { return "sparseloco"; }
  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;
  std::unique_ptr<DeviceCodec> on_device() const override;  // with Rice codes up to k = 256: their decoder takes 12 bytes a bit

 private:
  sparseloco::Plan plan(Layer layer) const { return {layer, vectors_, k_, bits_, coding_}; }

  size_t k_;
  unsigned bits_;
  Blocks::Vectors vectors_;
  sparseloco::PositionCoding coding_;
};

}  // namespace thinwire::compressors
