#include "compressors/sparseloco/starts.cuh"

#include <vector>

namespace thinwire::compressors::sparseloco {
namespace {

using namespace device;

constexpr int kThreads = 256;

__device__ size_t thread_index() { return size_t{blockIdx.x} * kThreads + threadIdx.x; }

// Where a code that begins at each bit ends: behind its zeros, the one and `parameter` bits. No code has more zeros than most_zeros.
__global__ void __launch_bounds__(kThreads)
    link_codes(const uint32_t* stream, uint32_t bits, unsigned parameter, uint32_t most_zeros, uint32_t* links) {
  const size_t i = thread_index();
  if (i > bits) return;
  const uint32_t at = static_cast<uint32_t>(i);
  uint32_t link = kNoLink;
  for (uint32_t word = at / 32; 32 * uint64_t{word} < bits && 32 * uint64_t{word} <= uint64_t{at} + most_zeros; ++word) {
    const uint32_t ones = stream[word] & (word == at / 32 ? ~0u << at % 32 : ~0u);
    if (ones == 0) continue;
    const uint64_t one = 32 * uint64_t{word} + __ffs(static_cast<int>(ones)) - 1, end = one + 1 + parameter;
    if (one - at <= most_zeros && end <= bits) link = static_cast<uint32_t>(end);
    break;
  }
  links[i] = link;
}

__device__ uint32_t follow(const uint32_t* links, uint32_t at) { return at == kNoLink ? kNoLink : links[at]; }

// out = then after first.
__global__ void __launch_bounds__(kThreads) join_links(const uint32_t* first, const uint32_t* then, uint32_t bits, uint32_t* out) {
  const size_t i = thread_index();
  if (i <= bits) out[i] = follow(then, first[i]);
}

// A block's positions are followed by its codes of a fixed length.
__global__ void __launch_bounds__(kThreads) link_blocks(const uint32_t* positions, uint32_t bits, uint32_t code_bits, uint32_t* links) {
  const size_t i = thread_index();
  if (i > bits) return;
  const uint32_t end = positions[i];
  links[i] = end == kNoLink || end + uint64_t{code_bits} > bits ? kNoLink : end + code_bits;
}

// The beginnings of the first `known` blocks are there; as many again follow.
__global__ void __launch_bounds__(kThreads) double_starts(const uint32_t* links, size_t known, size_t blocks, uint32_t* starts) {
  const size_t i = thread_index();
  if (i < known && known + i < blocks) starts[known + i] = follow(links, starts[i]);
}

// Links in three arrays, of which some are free.
class Joiner {
 public:
  Joiner(const Links& links, uint32_t bits, cudaStream_t stream) : free_(links.arrays, links.arrays + 3), bits_(bits), stream_(stream) {}
  uint32_t* take() {
    check(!free_.empty(), "three arrays are enough");
    uint32_t* links = free_.back();
    free_.pop_back();
    return links;
  }
  void give(uint32_t* links) { free_.push_back(links); }
  unsigned grid() const { return grid_for(size_t{bits_} + 1, kThreads); }
  uint32_t* join(const uint32_t* first, const uint32_t* then) {
    uint32_t* out = take();
    join_links<<<grid(), kThreads, 0, stream_>>>(first, then, bits_, out);
    require_launched("join_links");
    return out;
  }

 private:
  std::vector<uint32_t*> free_;
  uint32_t bits_;
  cudaStream_t stream_;
};

}  // namespace

void find_starts(const Shape& shape, const uint32_t* stream, uint64_t stream_bits, const Links& links, uint32_t* starts,
                 const DeviceContext& context) {
  check(stream_bits < kNoLink, "a payload's bits are counted in 32");
  const uint32_t bits = static_cast<uint32_t>(stream_bits);
  const cudaStream_t on = stream_of(context);
  Joiner joiner(links, bits, on);
  uint32_t* power = joiner.take();
  const uint32_t most_zeros = static_cast<uint32_t>(shape.height * shape.width) >> shape.parameter;
  link_codes<<<joiner.grid(), kThreads, 0, on>>>(stream, bits, shape.parameter, most_zeros, power);
  require_launched("link_codes");

  uint32_t* positions = nullptr;  // over as many codes as the bits of first_kept that were seen say; `power` is over 1, 2, 4, ...
  for (unsigned rest = static_cast<unsigned>(shape.first_kept);; rest /= 2) {
    if (rest % 2 == 1 && positions == nullptr) {
      positions = power;
    } else if (rest % 2 == 1) {
      uint32_t* joined = joiner.join(positions, power);
      joiner.give(positions);
      positions = joined;
    }
    uint32_t* square = rest == 1 ? nullptr : joiner.join(power, power);
    if (power != positions) joiner.give(power);
    if (rest == 1) break;
    power = square;
  }

  uint32_t* blocks = joiner.take();
  link_blocks<<<joiner.grid(), kThreads, 0, on>>>(positions, bits, shape.code_bits * static_cast<uint32_t>(shape.first_kept), blocks);
  require_launched("link_blocks");
  joiner.give(positions);
  cudaMemsetAsync(starts, 0, sizeof(uint32_t), on);
  for (size_t known = 1; known < shape.blocks; known *= 2) {
    double_starts<<<grid_for(known, kThreads), kThreads, 0, on>>>(blocks, known, shape.blocks, starts);
    require_launched("double_starts");
    if (2 * known >= shape.blocks) break;
    uint32_t* square = joiner.join(blocks, blocks);
    joiner.give(blocks);
    blocks = square;
  }
}

}  // namespace thinwire::compressors::sparseloco
