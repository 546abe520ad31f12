// `fp16` on a device: a block of threads for each block of 4096 elements, in two groups a thread. A block on the wire is an odd number of
// bytes, so it passes through an image in shared memory.
#include "compressors/cast/cast_codec.h"
#include "compressors/cast/fp16.h"
#include "compressors/device/image.cuh"
#include "compressors/device/launch.cuh"
#include "compressors/values/scaled_half.h"

namespace thinwire::compressors {
namespace {

using namespace device;

using Threads = Team<256>;
constexpr int kBlock = Fp16Codec::kBlockElems, kHeld = kBlock / (Threads::kThreads * kGroup);
constexpr int block_bytes(int elems) { return 1 + 2 * elems; }
__device__ int size_of_block(size_t begin, size_t elems) { return static_cast<int>(min(elems - begin, size_t{kBlock})); }

// Halves in an image have no alignment.
__device__ void put_half(uint16_t half, std::byte* to) { memcpy(to, &half, sizeof half); }
__device__ uint16_t get_half(const std::byte* from) {
  uint16_t half;
  memcpy(&half, from, sizeof half);
  return half;
}

__global__ void __launch_bounds__(Threads::kThreads, Threads::kBlocks) encode_halves(Sum sum, size_t elems, std::byte* out, DeviceReport* report) {
  __shared__ __align__(16) std::byte image[image_bytes(block_bytes(kBlock))];
  if (sum.stops(report)) return;
  const size_t begin = size_t{blockIdx.x} * kBlock;
  const int size = size_of_block(begin, elems);
  const Run run{sum, begin};
  Bucket<Threads, kHeld> bucket(run, size);
  float own_largest = 0;
  bucket.each([&](int at, int, const float(&a)[kGroup]) {
    report_non_finite(a, begin + at, report);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) own_largest = fmaxf(own_largest, fabsf(a[j]));
  });
  const float largest = Threads::reduce(own_largest, [](float a, float b) { return fmaxf(a, b); });
  const int exponent = ScaledHalf::exponent_for(largest);
  const ScaledHalf coding(exponent);

  std::byte* piece = out + size_t{blockIdx.x} * block_bytes(kBlock);
  std::byte* halves = image + image_shift(piece) + 1;
  if (Threads::rank() == 0) halves[-1] = static_cast<std::byte>(exponent);
  bucket.each([&](int at, int count, float(&a)[kGroup]) {
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      if (j >= count) break;
      const uint16_t half = coding.encode(a[j]);
      put_half(half, halves + 2 * (at + j));
      a[j] -= coding.decode(half);
    }
    run.leave(at, count, a);
  });
  write_image<Threads>(image, piece, block_bytes(size));
}

__global__ void __launch_bounds__(Threads::kThreads) validate_halves(const std::byte* payload, size_t elems, DeviceReport* report) {
  __shared__ __align__(16) std::byte image[image_bytes(block_bytes(kBlock))];
  const int size = size_of_block(size_t{blockIdx.x} * kBlock, elems);
  const std::byte* piece = payload + size_t{blockIdx.x} * block_bytes(kBlock);
  read_image<Threads>(piece, block_bytes(size), image);
  const std::byte* halves = image + image_shift(piece) + 1;
  bool bad = static_cast<int8_t>(halves[-1]) > ScaledHalf::kMostExponent;
  for (int i = Threads::rank(); i < size; i += Threads::kThreads) bad |= (get_half(halves + 2 * i) & 0x7fff) > ScaledHalf::kMostMagnitude;
  if (bad) report_fault(report, blockIdx.x);
}

__global__ void __launch_bounds__(Threads::kThreads)
    add_halves(const std::byte* payload, size_t elems, float weight, float* out, const DeviceReport* report) {
  __shared__ __align__(16) std::byte image[image_bytes(block_bytes(kBlock))];
  if (is_faulty(report)) return;
  const size_t begin = size_t{blockIdx.x} * kBlock;
  const int size = size_of_block(begin, elems);
  const std::byte* piece = payload + size_t{blockIdx.x} * block_bytes(kBlock);
  read_image<Threads>(piece, block_bytes(size), image);
  const std::byte* halves = image + image_shift(piece) + 1;
  const ScaledHalf coding(static_cast<int8_t>(halves[-1]));
  for (int i = Threads::rank() * kGroup; i < size; i += Threads::kThreads * kGroup) {
    const int count = min(kGroup, size - i);
    float sums[kGroup];
    load_group(out + begin + i, count, sums);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      if (j < count) sums[j] += weight * coding.decode(get_half(halves + 2 * (i + j)));
    }
    store_group(sums, count, out + begin + i);
  }
}

class DeviceFp16 final : public DeviceCodec {
 public:
  size_t scratch_bytes(Layer) const override { return 0; }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    const Sum sum(in);
    begin_encode(sum, elems, payload_bytes(elems), context);
    if (elems == 0) return;
    encode_halves<<<grid_for(elems, kBlock), Threads::kThreads, 0, stream_of(context)>>>(sum, elems, out, context.report);
    require_launched("encode_halves");
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    const bool is_refused = payload.size() != payload_bytes(elems);
    begin(context, payload.size(), is_refused);
    if (elems == 0 || is_refused) return;
    const unsigned grid = grid_for(elems, kBlock);
    validate_halves<<<grid, Threads::kThreads, 0, stream_of(context)>>>(payload.data(), elems, context.report);
    require_launched("validate_halves");
    add_halves<<<grid, Threads::kThreads, 0, stream_of(context)>>>(payload.data(), elems, weight, out, context.report);
    require_launched("add_halves");
  }

 private:
  static size_t payload_bytes(size_t elems) { return ceil_div(elems, kBlock) + 2 * elems; }
};

std::unique_ptr<DeviceCodec> make_fp16(const CastOnDevice&) { return std::make_unique<DeviceFp16>(); }

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_fp16() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::CastOnDevice> maker = thinwire::compressors::make_fp16;
  return &maker;
}
