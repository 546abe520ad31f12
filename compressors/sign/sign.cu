// `sign` on a device. A team of threads encodes a block of the codec into a slot, as zeros in a block make it longer. A decoder finds out
// where blocks begin before it can validate them, since each scale says how long its block is.
#include "compressors/device/launch.cuh"
#include "compressors/device/slots.cuh"
#include "compressors/device/team.cuh"
#include "compressors/sign/device.h"

namespace thinwire::compressors {
namespace {

using namespace device;

__host__ __device__ constexpr size_t bits_bytes(size_t elems) { return (elems + 7) / 8; }
__host__ __device__ constexpr size_t plain_bytes(size_t elems) { return sizeof(float) + bits_bytes(elems); }  // of a block without zeros

// Blocks of a layer.
struct Cut {
  __host__ __device__ size_t count() const { return (elems + block_elems - 1) / block_elems; }
  __host__ __device__ size_t begin(size_t block) const { return block * block_elems; }
  __host__ __device__ int size(size_t block) const { return static_cast<int>(min(block_elems, elems - begin(block))); }
  size_t plain() const {
    return elems / block_elems * plain_bytes(block_elems) + (elems % block_elems == 0 ? 0 : plain_bytes(elems % block_elems));
  }

  size_t elems, block_elems;
};

__device__ float read_float(const std::byte* from) {
  float value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <class Team, int kHeld>
__global__ void __launch_bounds__(Team::kBlockThreads, Team::kBlocks) encode_signs(Sum sum, Cut cut, Slots slots, DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= cut.count() || sum.stops(report)) return;
  const size_t begin = cut.begin(block);
  const int elems = cut.size(block);
  const Run run{sum, begin};
  Bucket<Team, kHeld> bucket(run, elems);
  int own_nonzero = 0;
  bucket.each([&](int at, int, const float(&a)[kGroup]) {
    report_non_finite(a, begin + at, report);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) own_nonzero += a[j] != 0;
  });
  const int nonzero = Team::sum(own_nonzero);
  const double magnitudes = lane_sum(bucket, [](float a) { return static_cast<double>(fabsf(a)); });
  const float scale = nonzero == 0 ? 0.0f : static_cast<float>(magnitudes / nonzero);
  const bool has_zeros = nonzero < elems;

  std::byte* slot = slots.at(block);
  std::byte* zeros = slot + sizeof(float);
  std::byte* signs = zeros + (has_zeros ? bits_bytes(elems) : 0);
  if (Team::rank() == 0) {
    const float said = has_zeros && nonzero > 0 ? -scale : scale;
    memcpy(slot, &said, sizeof said);
    slots.lengths[block] = static_cast<uint32_t>(8 * (nonzero == 0 ? sizeof(float) : signs + bits_bytes(elems) - slot));
  }
  bucket.each([&](int at, int count, float(&a)[kGroup]) {
    if (count == 0) return;
    unsigned zero = 0, negative = 0;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      zero |= static_cast<unsigned>(j < count && a[j] == 0) << j;
      negative |= static_cast<unsigned>(a[j] < 0) << j;
      if (a[j] != 0) a[j] -= a[j] < 0 ? -scale : scale;
    }
    if (nonzero > 0) {
      if (has_zeros) zeros[at / 8] = static_cast<std::byte>(zero);
      signs[at / 8] = static_cast<std::byte>(negative);
    }
    run.leave(at, count, a);
  });
}

// Where the blocks of a payload begin.
struct Starts {
  uint64_t* at;         // for each of the first `known` blocks
  uint32_t* known;      // all of them, or those in front of one at which the payload makes no sense
  uint32_t* not_plain;  // some block has zeros, or is bad
};

__global__ void look_for_zeros(const std::byte* payload, Cut cut, Starts starts) {
  const size_t block = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (block >= cut.count()) return;
  const float scale = read_float(payload + block * plain_bytes(cut.block_elems));
  if (!(is_finite(scale) && scale > 0)) *starts.not_plain = 1;
}

// A scale that no encoder writes: not finite, or -0.
__device__ bool is_bad_scale(float scale) { return !is_finite(scale) || __float_as_uint(scale) == 0x80000000; }

__device__ size_t size_of_block(float scale, size_t elems) {
  return sizeof(float) + (scale == 0 ? 0 : scale < 0 ? 2 * bits_bytes(elems) : bits_bytes(elems));
}

constexpr int kWalkThreads = 256;
constexpr size_t kWindowBytes = 32768;

// By one block of threads. Without zeros anywhere all blocks are alike; else one thread goes from scale to scale, through a window of the
// payload that all of them fetch.
__global__ void __launch_bounds__(kWalkThreads)
    find_blocks(ConstBytes payload, Cut cut, bool may_be_plain, Starts starts, DeviceReport* report) {
  const size_t count = cut.count();
  if (may_be_plain && *starts.not_plain == 0) {
    for (size_t i = threadIdx.x; i < count; i += kWalkThreads) starts.at[i] = i * plain_bytes(cut.block_elems);
    if (threadIdx.x == 0) *starts.known = static_cast<uint32_t>(count);
    return;
  }
  __shared__ uint4 window[kWindowBytes / sizeof(uint4)];
  __shared__ size_t shared_at, shared_block;
  __shared__ bool ended;
  if (threadIdx.x == 0) {
    shared_at = shared_block = 0;
    ended = false;
  }
  __syncthreads();
  while (!ended) {
    const size_t base = shared_at / 16 * 16;
    const auto* from = reinterpret_cast<const uint4*>(payload.data() + base);
    for (size_t i = threadIdx.x; i < kWindowBytes / 16 && base + 16 * i < payload.size(); i += kWalkThreads) window[i] = from[i];
    __syncthreads();
    if (threadIdx.x == 0) {
      size_t at = shared_at, block = shared_block;
      bool good = true;
      for (; block < count && at + sizeof(float) <= base + kWindowBytes; ++block) {
        good = at + sizeof(float) <= payload.size();
        if (!good) break;
        const float scale = read_float(reinterpret_cast<const std::byte*>(window) + (at - base));
        const size_t bytes = size_of_block(scale, cut.size(block));
        good = !is_bad_scale(scale) && bytes <= payload.size() - at;
        if (!good) break;
        starts.at[block] = at;
        at += bytes;
      }
      if (block == count && at != payload.size()) good = false;  // bytes follow the last block
      if (!good) report_fault(report, block);
      *starts.known = static_cast<uint32_t>(block);
      shared_at = at;
      shared_block = block;
      ended = block == count || !good;
    }
    __syncthreads();
  }
}

template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads)
    validate_blocks(const std::byte* payload, Cut cut, Starts starts, DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= *starts.known) return;
  const std::byte* at = payload + starts.at[block];
  const float scale = read_float(at);
  if (scale == 0) return;
  const int elems = cut.size(block), bytes = static_cast<int>(bits_bytes(elems));
  const auto* zeros = reinterpret_cast<const uint8_t*>(at + sizeof(float));
  const auto* signs = scale < 0 ? zeros + bytes : zeros;
  const unsigned padding = elems % 8 == 0 ? 0 : 0xff << elems % 8 & 0xff;
  int own_zeros = 0;
  bool bad = false;
  for (int i = Team::rank(); i < bytes; i += Team::kThreads) {
    const unsigned sign = signs[i], zero = scale < 0 ? zeros[i] : 0;
    own_zeros += __popc(zero);
    bad |= (zero & sign) != 0 || (i == bytes - 1 && ((zero | sign) & padding) != 0);
  }
  const int zero_count = Team::sum(own_zeros);
  if (bad || (scale < 0 && (zero_count == 0 || zero_count == elems))) report_fault(report, block);
}

template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads)
    add_signs(const std::byte* payload, Cut cut, Starts starts, float weight, float* out, const DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= cut.count() || is_faulty(report)) return;
  const std::byte* at = payload + starts.at[block];
  const float said = read_float(at), scale = fabsf(said);
  if (scale == 0) return;
  const size_t begin = cut.begin(block);
  const int elems = cut.size(block);
  const auto* zeros = reinterpret_cast<const uint8_t*>(at + sizeof(float));
  const auto* signs = said < 0 ? zeros + bits_bytes(elems) : zeros;
  for (int i = Team::rank() * kGroup; i < elems; i += Team::kThreads * kGroup) {
    const int count = min(kGroup, elems - i);
    const unsigned zero = said < 0 ? zeros[i / 8] : 0, negative = signs[i / 8];
    float sums[kGroup];
    load_group(out + begin + i, count, sums);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) sums[j] += weight * ((zero >> j & 1) != 0 ? 0.0f : (negative >> j & 1) != 0 ? -scale : scale);
    store_group(sums, count, out + begin + i);
  }
}

class DeviceSign final : public DeviceCodec {
 public:
  explicit DeviceSign(const SignOnDevice& parameters) : block_elems_(parameters.block_elems) {}

  size_t scratch_bytes(Layer layer) const override {
    Scratch encoding, decoding;
    slots(encoding, cut(layer));
    starts(decoding, cut(layer));
    return std::max(encoding.bytes(), decoding.bytes());
  }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const Cut cut = this->cut(layer);
    const Sum sum(in);
    begin_encode(sum, cut.elems, 0, context);
    if (cut.elems == 0) return;
    Scratch scratch(context.scratch);
    const Slots slots = this->slots(scratch, cut);
    with_team(block_elems_, [&]<class Team, int kHeld>() {
      encode_signs<Team, kHeld>
          <<<grid_for(cut.count(), Team::kPerBlock), Team::kBlockThreads, 0, stream_of(context)>>>(sum, cut, slots, context.report);
    });
    require_launched("encode_signs");
    gather(slots, 0, out, context);
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    const Cut cut = this->cut(layer);
    begin(context, payload.size(), cut.elems == 0 && !payload.empty());
    if (cut.elems == 0) return;
    Scratch scratch(context.scratch);
    const Starts starts = this->starts(scratch, cut);
    find(payload, cut, starts, context);
    with_decoding_team(block_elems_, [&]<class Team>() {
      const unsigned grid = grid_for(cut.count(), Team::kPerBlock);
      const cudaStream_t stream = stream_of(context);
      validate_blocks<Team><<<grid, Team::kBlockThreads, 0, stream>>>(payload.data(), cut, starts, context.report);
      add_signs<Team><<<grid, Team::kBlockThreads, 0, stream>>>(payload.data(), cut, starts, weight, out, context.report);
    });
    require_launched("add_signs");
  }

 private:
  Cut cut(Layer layer) const { return {static_cast<size_t>(layer.elems()), block_elems_}; }
  Slots slots(Scratch& scratch, const Cut& cut) const {
    return {scratch, cut.count(), sizeof(float) + 2 * bits_bytes(std::min(block_elems_, cut.elems))};
  }
  static Starts starts(Scratch& scratch, const Cut& cut) {
    auto* at = scratch.take<uint64_t>(cut.count());
    auto* known = scratch.take<uint32_t>(2);
    return {at, known, known == nullptr ? nullptr : known + 1};
  }

  void find(ConstBytes payload, const Cut& cut, const Starts& starts, const DeviceContext& context) const {
    const bool may_be_plain = payload.size() == cut.plain();
    const cudaStream_t stream = stream_of(context);
    cudaMemsetAsync(starts.known, 0, 2 * sizeof(uint32_t), stream);
    if (may_be_plain) look_for_zeros<<<grid_for(cut.count(), 256), 256, 0, stream>>>(payload.data(), cut, starts);
    find_blocks<<<1, kWalkThreads, 0, stream>>>(payload, cut, may_be_plain, starts, context.report);
    require_launched("find_blocks");
  }

  size_t block_elems_;
};

std::unique_ptr<DeviceCodec> make_sign(const SignOnDevice& parameters) { return std::make_unique<DeviceSign>(parameters); }

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_sign() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::SignOnDevice> maker = thinwire::compressors::make_sign;
  return &maker;
}
