#include "compressors/device/slots.cuh"

namespace thinwire::compressors::device {
namespace {

constexpr int kTile = 1024;  // slots, and threads
constexpr int kGatherThreads = 256;

// The sum of the values of all threads in front, and that of all. A block of kTile.
__device__ uint64_t exclusive_sum(uint64_t value, uint64_t& total) {
  __shared__ uint64_t of_warps[kTile / 32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint64_t sum = value;
  for (int distance = 1; distance < 32; distance *= 2) {
    const uint64_t earlier = __shfl_up_sync(~0u, sum, distance);
    if (lane >= distance) sum += earlier;
  }
  if (lane == 31) of_warps[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    uint64_t warps = of_warps[lane];
    for (int distance = 1; distance < 32; distance *= 2) {
      const uint64_t earlier = __shfl_up_sync(~0u, warps, distance);
      if (lane >= distance) warps += earlier;
    }
    of_warps[lane] = warps;
  }
  __syncthreads();
  const uint64_t before = sum - value + (warp == 0 ? 0 : of_warps[warp - 1]);
  total = of_warps[kTile / 32 - 1];
  __syncthreads();
  return before;
}

__global__ void __launch_bounds__(kTile) scan_slots(Slots slots, const DeviceReport* report) {
  if (is_faulty(report)) return;
  const size_t slot = size_t{blockIdx.x} * kTile + threadIdx.x;
  uint64_t total = 0;
  const uint64_t before = exclusive_sum(slot < slots.count ? slots.lengths[slot] : 0, total);
  if (slot < slots.count) slots.offsets[slot] = static_cast<uint32_t>(before);
  if (threadIdx.x == 0) slots.tiles[blockIdx.x] = total;
}

// By one block.
__global__ void __launch_bounds__(kTile) scan_tiles(Slots slots, size_t header_bytes, DeviceReport* report) {
  if (is_faulty(report)) return;
  const size_t tiles = (slots.count + kTile - 1) / kTile;
  uint64_t bits = 0;
  for (size_t first = 0; first < tiles; first += kTile) {
    const size_t tile = first + threadIdx.x;
    uint64_t total = 0;
    const uint64_t before = exclusive_sum(tile < tiles ? slots.tiles[tile] : 0, total);
    if (tile < tiles) slots.tiles[tile] = bits + before;
    bits += total;
  }
  if (threadIdx.x == 0) report->payload_bytes = header_bytes + (bits + 7) / 8;
}

// 32 bits of a part, from its bit `from`; what is behind its last bit means nothing.
__device__ uint32_t word_of(const Slots& slots, size_t slot, uint32_t from) {
  const uint32_t* words = reinterpret_cast<const uint32_t*>(slots.at(slot));
  const size_t at = from / 32;
  const uint32_t low = words[at], high = at + 1 < slots.stride_bytes / 4 ? words[at + 1] : 0;
  return __funnelshift_r(low, high, from % 32);
}

__device__ uint32_t low_bits(uint32_t word, uint32_t count) { return count >= 32 ? word : word & ((1u << count) - 1); }

// A warp writes the words of the payload that begin within its slot, the last one together with what follows.
__global__ void __launch_bounds__(kGatherThreads) gather_slots(Slots slots, uint32_t* out, const DeviceReport* report) {
  const size_t slot = (size_t{blockIdx.x} * kGatherThreads + threadIdx.x) / 32;
  if (slot >= slots.count || is_faulty(report)) return;
  const uint64_t begin = slots.tiles[slot / kTile] + slots.offsets[slot], end = begin + slots.lengths[slot];
  for (uint64_t word = (begin + 31) / 32 + threadIdx.x % 32; 32 * word < end; word += 32) {
    uint64_t filled = end - 32 * word;
    uint32_t bits =
        low_bits(word_of(slots, slot, static_cast<uint32_t>(32 * word - begin)), static_cast<uint32_t>(min(filled, uint64_t{32})));
    for (size_t next = slot + 1; filled < 32 && next < slots.count; ++next) {
      bits |= low_bits(word_of(slots, next, 0), slots.lengths[next]) << filled;
      filled += slots.lengths[next];
    }
    out[word] = bits;
  }
}

}  // namespace

Slots::Slots(Scratch& scratch, size_t slot_count, size_t most_bytes)
    : count(slot_count),
      stride_bytes(ceil_div(most_bytes, 4) * 4),
      data(scratch.take<std::byte>(slot_count * stride_bytes)),
      lengths(scratch.take<uint32_t>(slot_count)),
      offsets(scratch.take<uint32_t>(slot_count)),
      tiles(scratch.take<uint64_t>(ceil_div(slot_count, kTile))) {}

void gather(const Slots& slots, size_t header_bytes, std::byte* out, const DeviceContext& context) {
  check(header_bytes % 4 == 0, "a header is whole words");
  const cudaStream_t stream = stream_of(context);
  scan_slots<<<grid_for(slots.count, kTile), kTile, 0, stream>>>(slots, context.report);
  require_launched("scan_slots");
  scan_tiles<<<1, kTile, 0, stream>>>(slots, header_bytes, context.report);
  require_launched("scan_tiles");
  auto* words = reinterpret_cast<uint32_t*>(out + header_bytes);
  gather_slots<<<grid_for(slots.count, kGatherThreads / 32), kGatherThreads, 0, stream>>>(slots, words, context.report);
  require_launched("gather_slots");
}

}  // namespace thinwire::compressors::device
