// `topk` over whole layers on a device, by radix select as in layer_choice.h: three passes find the threshold digit by digit, a fourth
// counts what each tile of the layer keeps, the last one writes it in order.
//
// The first pass leaves a in `left`, so that the others read 4 bytes an element; without a `left` they form a again.
#include "compressors/device/launch.cuh"
#include "compressors/device/select.cuh"
#include "compressors/topk/device.h"
#include "compressors/topk/reference.h"
#include "compressors/values/scaled_half.h"

namespace thinwire::compressors {
namespace {

using namespace device;

using Threads = Team<256>;
constexpr int kTile = Threads::kThreads * kGroup, kScan = 1024;

struct Digit {
  unsigned shift, bits;
};
constexpr Digit kDigits[]{{20, 11}, {10, 10}, {0, 10}};  // the 31 bits of a magnitude, from the top

// What is known of the threshold: `low` has the digits found so far, and 0 behind them; `above` magnitudes have larger ones.
struct Bracket {
  uint32_t low, above;
  uint32_t largest;  // magnitude of all
};

struct Work {
  Work(Scratch& scratch, size_t elems)
      : bracket(scratch.take<Bracket>(1)),
        tally(scratch.take<uint32_t>(size_t{1} << kDigits[0].bits)),
        kept(scratch.take<uint2>(ceil_div(elems, kTile))) {}

  Bracket* bracket;
  uint32_t* tally;  // of a digit's values
  uint2* kept;      // of each tile, and then of all in front: above the threshold, and at it
};

// The layer's block of a payload.
struct Block {
  __host__ __device__ size_t value_bytes() const { return is_fp16 ? 1 + 2 * kept : 4 * kept; }
  __host__ __device__ size_t bytes() const { return value_bytes() + 4 * kept; }

  size_t kept;
  bool is_fp16;
};

__device__ uint32_t magnitude_of(float a) { return __float_as_uint(a) & 0x7fffffff; }

__global__ void start_search(Work work) { *work.bracket = {.low = 0, .above = 0, .largest = 0}; }

// Counts the values of a digit among the magnitudes that have the digits found so far.
__global__ void __launch_bounds__(Threads::kThreads)
    tally_digit(Sum sum, size_t elems, Digit digit, Work work, bool is_first, DeviceReport* report) {
  extern __shared__ uint32_t tally[];
  if (is_first ? sum.stops(report) : is_faulty(report)) return;
  const int buckets = 1 << digit.bits;
  for (int i = Threads::rank(); i < buckets; i += Threads::kThreads) tally[i] = 0;
  __syncthreads();
  const Bracket bracket = *work.bracket;
  uint32_t largest = 0;
  for (size_t tile = blockIdx.x; tile * kTile < elems; tile += gridDim.x) {
    const size_t i = tile * kTile + Threads::rank() * kGroup;
    const int count = i < elems ? static_cast<int>(min(elems - i, size_t{kGroup})) : 0;
    float a[kGroup];
    sum.load(i, count, a);
    if (is_first) {
      report_non_finite(a, i, report);
      if (count > 0) sum.leave(i, count, a);
    }
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      const uint32_t magnitude = magnitude_of(a[j]);
      largest = max(largest, magnitude);
      if (j < count && magnitude - bracket.low >> digit.shift < static_cast<uint32_t>(buckets) && magnitude >= bracket.low) {
        atomicAdd(&tally[magnitude - bracket.low >> digit.shift], 1u);
      }
    }
  }
  if (is_first) {
    largest = __reduce_max_sync(~0u, largest);
    if (threadIdx.x % 32 == 0) atomicMax(&work.bracket->largest, largest);
  }
  __syncthreads();
  for (int i = Threads::rank(); i < buckets; i += Threads::kThreads) {
    if (tally[i] != 0) atomicAdd(&work.tally[i], tally[i]);
  }
}

// By one block: the bucket in which the last kept magnitude lies, found from the largest down.
__global__ void __launch_bounds__(Threads::kThreads) refine_bracket(Digit digit, uint32_t kept, Work work, const DeviceReport* report) {
  if (is_faulty(report)) return;
  const int buckets = 1 << digit.bits, each = buckets / Threads::kThreads;
  const int top = buckets - 1 - Threads::rank() * each;  // this thread has the `each` buckets from here down
  int own = 0, total = 0;
  for (int i = 0; i < each; ++i) own += static_cast<int>(work.tally[top - i]);
  const uint32_t before = exclusive_sum<Threads>(own, total);
  Bracket bracket = *work.bracket;
  __syncthreads();
  uint32_t reached = bracket.above + before;
  for (int i = 0; i < each; ++i) {
    const uint32_t here = work.tally[top - i];
    if (reached < kept && reached + here >= kept) {
      bracket.low += static_cast<uint32_t>(top - i) << digit.shift;
      bracket.above = reached;
      *work.bracket = bracket;
    }
    reached += here;
  }
}

__global__ void __launch_bounds__(Threads::kThreads) count_kept(Sum sum, size_t elems, Work work, const DeviceReport* report) {
  if (is_faulty(report)) return;
  const size_t i = size_t{blockIdx.x} * kTile + Threads::rank() * kGroup;
  const int count = i < elems ? static_cast<int>(min(elems - i, size_t{kGroup})) : 0;
  const uint32_t threshold = work.bracket->low;
  float a[kGroup];
  sum.load(i, count, a);
  int packed = 0;
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) packed += (magnitude_of(a[j]) > threshold) + ((magnitude_of(a[j]) == threshold) << 16);
  }
  const int total = Threads::sum(packed);
  if (Threads::rank() == 0) work.kept[blockIdx.x] = {static_cast<uint32_t>(total & 0xffff), static_cast<uint32_t>(total >> 16)};
}

// By one block: of each tile, what is in front of it.
__global__ void __launch_bounds__(kScan) scan_kept(size_t tiles, Work work, const DeviceReport* report) {
  if (is_faulty(report)) return;
  uint2 before{0, 0};
  for (size_t first = 0; first < tiles; first += kScan) {
    const size_t tile = first + threadIdx.x;
    const uint2 own = tile < tiles ? work.kept[tile] : uint2{0, 0};
    int above_total = 0, ties_total = 0;
    const int above = exclusive_sum<Team<kScan>>(static_cast<int>(own.x), above_total),
              ties = exclusive_sum<Team<kScan>>(static_cast<int>(own.y), ties_total);
    if (tile < tiles) work.kept[tile] = {before.x + above, before.y + ties};
    before.x += above_total;
    before.y += ties_total;
  }
}

template <class T>
__device__ void put(T number, std::byte* to) {
#pragma unroll
  for (size_t i = 0; i < sizeof number; ++i) to[i] = static_cast<std::byte>(number >> 8 * i);
}
template <class T>
__device__ T get(const std::byte* from) {
  T number;
  memcpy(&number, from, sizeof number);
  return number;
}

__global__ void __launch_bounds__(Threads::kThreads)
    write_kept(Sum sum, size_t elems, Block block, Work work, std::byte* out, const DeviceReport* report) {
  if (is_faulty(report)) return;
  const Bracket bracket = *work.bracket;
  const int exponent = ScaledHalf::exponent_for(__uint_as_float(bracket.largest));
  const ScaledHalf coding(exponent);
  if (blockIdx.x == 0 && threadIdx.x == 0 && block.is_fp16) out[0] = static_cast<std::byte>(exponent);

  const size_t begin = size_t{blockIdx.x} * kTile, i = begin + Threads::rank() * kGroup;
  const int count = i < elems ? static_cast<int>(min(elems - i, size_t{kGroup})) : 0;
  float a[kGroup];
  sum.load(i, count, a);
  int packed = 0, total = 0;
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) packed += (magnitude_of(a[j]) > bracket.low) + ((magnitude_of(a[j]) == bracket.low) << 16);
  }
  const int before = exclusive_sum<Threads>(packed, total);
  const uint2 tile = work.kept[blockIdx.x];
  const uint32_t ties = static_cast<uint32_t>(block.kept) - bracket.above;
  uint32_t above = tile.x + (before & 0xffff), tie = tile.y + (before >> 16);
  std::byte* indices = out + block.value_bytes();
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j >= count) break;
    const uint32_t magnitude = magnitude_of(a[j]);
    const uint32_t place = above + min(tie, ties);
    const bool is_kept = magnitude > bracket.low || (magnitude == bracket.low && tie < ties);
    above += magnitude > bracket.low;
    tie += magnitude == bracket.low;
    if (!is_kept) continue;
    if (block.is_fp16) {
      const uint16_t half = coding.encode(a[j]);
      put(half, out + 1 + 2 * size_t{place});
      a[j] -= coding.decode(half);
    } else {
      put(__float_as_uint(a[j]), out + 4 * size_t{place});
      a[j] = 0;
    }
    put(static_cast<uint32_t>(i + j), indices + 4 * size_t{place});
    if (sum.left != nullptr) sum.left[i + j] = a[j];
  }
}

struct Payload {
  __device__ float value(size_t i, const ScaledHalf& coding) const {
    return block.is_fp16 ? coding.decode(get<uint16_t>(bytes + 1 + 2 * i)) : __uint_as_float(get<uint32_t>(bytes + 4 * i));
  }
  __device__ int exponent() const { return block.is_fp16 ? static_cast<int8_t>(bytes[0]) : 0; }
  __device__ uint32_t index(size_t i) const { return get<uint32_t>(bytes + block.value_bytes() + 4 * i); }

  const std::byte* bytes;
  Block block;
};

__global__ void __launch_bounds__(Threads::kThreads) validate_kept(Payload payload, size_t elems, DeviceReport* report) {
  const size_t i = size_t{blockIdx.x} * Threads::kThreads + threadIdx.x;
  if (i >= payload.block.kept) return;
  bool bad = payload.exponent() > ScaledHalf::kMostExponent;
  if (payload.block.is_fp16) {
    bad |= (get<uint16_t>(payload.bytes + 1 + 2 * i) & 0x7fff) > ScaledHalf::kMostMagnitude;
  } else {
    bad |= !is_finite(payload.value(i, ScaledHalf(0)));
  }
  const uint32_t index = payload.index(i);
  bad |= index >= elems || (i > 0 && payload.index(i - 1) >= index);
  if (bad) report_fault(report, 0);
}

__global__ void __launch_bounds__(Threads::kThreads) add_kept(Payload payload, float weight, float* out, const DeviceReport* report) {
  const size_t i = size_t{blockIdx.x} * Threads::kThreads + threadIdx.x;
  if (i >= payload.block.kept || is_faulty(report)) return;
  out[payload.index(i)] += weight * payload.value(i, ScaledHalf(payload.exponent()));
}

class DeviceLayerTopk final : public DeviceCodec {
 public:
  explicit DeviceLayerTopk(const TopkOfLayerOnDevice& parameters) : parameters_(parameters) {}

  size_t scratch_bytes(Layer layer) const override {
    Scratch scratch;
    Work(scratch, static_cast<size_t>(layer.elems()));
    return scratch.bytes();
  }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    if (elems == 0) return begin(context, 0);
    const Block block = this->block(elems);
    const Sum fresh(in), settled({.x = in.left, .left = in.left});
    const Sum& again = in.left == nullptr ? fresh : settled;
    begin_encode(fresh, elems, block.bytes(), context);
    Scratch scratch(context.scratch);
    const Work work(scratch, elems);
    const cudaStream_t stream = stream_of(context);
    const unsigned tiles = grid_for(elems, kTile);

    start_search<<<1, 1, 0, stream>>>(work);
    for (const Digit& digit : kDigits) {
      const bool is_first = &digit == kDigits;
      const size_t tally_bytes = sizeof(uint32_t) << digit.bits;
      cudaMemsetAsync(work.tally, 0, tally_bytes, stream);
      tally_digit<<<std::min(tiles, kMostBlocks), Threads::kThreads, tally_bytes, stream>>>(is_first ? fresh : again, elems, digit, work,
                                                                                            is_first, context.report);
      refine_bracket<<<1, Threads::kThreads, 0, stream>>>(digit, static_cast<uint32_t>(block.kept), work, context.report);
      require_launched("refine_bracket");
    }
    count_kept<<<tiles, Threads::kThreads, 0, stream>>>(again, elems, work, context.report);
    scan_kept<<<1, kScan, 0, stream>>>(tiles, work, context.report);
    write_kept<<<tiles, Threads::kThreads, 0, stream>>>(again, elems, block, work, out, context.report);
    require_launched("write_kept");
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    if (elems == 0) return begin(context, payload.size(), !payload.empty());
    const Payload read{payload.data(), block(elems)};
    const bool is_refused = payload.size() != read.block.bytes();
    begin(context, payload.size(), is_refused);
    if (is_refused) return;
    const unsigned grid = grid_for(read.block.kept, Threads::kThreads);
    validate_kept<<<grid, Threads::kThreads, 0, stream_of(context)>>>(read, elems, context.report);
    add_kept<<<grid, Threads::kThreads, 0, stream_of(context)>>>(read, weight, out, context.report);
    require_launched("add_kept");
  }

 private:
  static constexpr unsigned kMostBlocks = 132 * 8;  // each then adds many tiles to one tally

  Block block(size_t elems) const {
    check(elems <= 0xffffffff, "positions within a layer fit 32 bits under scope global");
    return {.kept = kept_of(parameters_.density, elems), .is_fp16 = parameters_.values == ValueCoding::fp16};
  }

  TopkOfLayerOnDevice parameters_;
};

std::unique_ptr<DeviceCodec> make_topk_of_layer(const TopkOfLayerOnDevice& parameters) {
  return std::make_unique<DeviceLayerTopk>(parameters);
}

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_topk_of_layer() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::TopkOfLayerOnDevice> maker =
      thinwire::compressors::make_topk_of_layer;
  return &maker;
}
