#include <algorithm>
#include <cstring>

#include "compressors/quantize/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/quantize/draw_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::quantize_kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace reference = quantize_reference;

#if HWY_TARGET == HWY_SCALAR  // has no product of 32-bit lanes
void DrawBits(const Draw& draw, uint64_t first_elem, std::span<uint16_t> bits) { reference::draw_bits(draw, first_elem, bits); }
#else
// Philox4x32-10 (base/draw.h) on as many blocks at a time as there are 64-bit lanes. Each word of a counter is the low half of a lane; what
// is above it does not matter.
class PhiloxLanes {
 public:
  using Lanes64 = hn::ScalableTag<uint64_t>;
  using Vec = hn::Vec<Lanes64>;
  explicit PhiloxLanes(const Draw& draw) : seed_(draw.seed()), stream_(draw.stream()) {}

  // Blocks first, first + 1, ...: 16 bytes each.
  void store(uint64_t first, uint64_t* out) const {
    const Lanes64 d;
    const Vec index = hn::Iota(d, first);
    Vec c0 = index, c1 = hn::ShiftRight<32>(index), c2 = hn::Set(d, stream_), c3 = hn::Set(d, stream_ >> 32);
    uint32_t k0 = static_cast<uint32_t>(seed_), k1 = static_cast<uint32_t>(seed_ >> 32);
    for (int round = 0; round < 10; ++round) {
      const Vec p0 = multiply(c0, 0xD2511F53), p1 = multiply(c2, 0xCD9E8D57);
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, uint64_t{k0}));
      c1 = p1;
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, uint64_t{k1}));
      c3 = p0;
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    hn::StoreInterleaved2(join(c0, c1), join(c2, c3), d, out);
  }

 private:
  static Vec multiply(Vec words, uint32_t factor) {
    const hn::Repartition<uint32_t, Lanes64> d;
    return hn::MulEven(hn::BitCast(d, words), hn::Set(d, factor));
  }
  static Vec join(Vec low, Vec high) { return hn::Or(hn::And(low, hn::Set(Lanes64(), 0xffffffff)), hn::ShiftLeft<32>(high)); }

  uint64_t seed_, stream_;
};

void DrawBits(const Draw& draw, uint64_t first_elem, std::span<uint16_t> bits) {
  const size_t lanes = hn::Lanes(PhiloxLanes::Lanes64());
  const PhiloxLanes philox(draw);
  HWY_ALIGN uint64_t blocks[2 * HWY_MAX_BYTES / 8];
  for (size_t i = 0; i < bits.size(); i += 8 * lanes) {
    philox.store((first_elem + i) / 8, blocks);
    std::memcpy(bits.data() + i, blocks, std::min(16 * lanes, 2 * (bits.size() - i)));
  }
}
#endif

}  // namespace thinwire::compressors::quantize_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::quantize_kernels {

HWY_EXPORT(DrawBits);

void draw_bits(const Draw& draw, uint64_t first_elem, std::span<uint16_t> bits) { HWY_DYNAMIC_DISPATCH(DrawBits)(draw, first_elem, bits); }

}  // namespace thinwire::compressors::quantize_kernels
#endif
