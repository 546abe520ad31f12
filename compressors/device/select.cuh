// For kernels: the choice of top-k within a block of at most 4096 elements, all of which a team holds in registers, and streams of bits in
// shared memory, as the chosen positions travel.
//
// select_largest() of compressors/topk/reference.h to the element: the largest magnitudes, the lower index among equals, in ascending
// order.
#pragma once
#include "compressors/device/image.cuh"

namespace thinwire::compressors::device {

constexpr int kMostBlock = 4096;

// launch<Team, kHeld>() for blocks of up to this many elements, at most kMostBlock.
template <class Launch>
void with_block_team(size_t block_elems, Launch&& launch) {
  if (block_elems <= 256) return launch.template operator()<Team<32>, 1>();
  if (block_elems <= 512) return launch.template operator()<Team<32>, 2>();
  return launch.template operator()<Team<256>, 2>();
}

// Kept is what is above the threshold, a magnitude as bits, and the first `ties` of those that equal it.
struct Choice {
  uint32_t threshold;
  int ties;
};

template <class Team, int kHeld, class Source>
__device__ int count_from(Bucket<Team, kHeld, Source>& bucket, uint32_t magnitude) {
  const float least = __uint_as_float(magnitude);
  int own = 0;
  bucket.each([&](int, int, const float(&a)[kGroup]) {
#pragma unroll
    for (int j = 0; j < kGroup; ++j) own += fabsf(a[j]) >= least;
  });
  return Team::sum(own);
}

// The threshold is found from its top bit down: a bit is set if at least `kept` magnitudes reach the number with it. A number that exactly
// `kept` reach ends the search. `largest` is the largest magnitude; what is behind a block's end is 0, and no number tried is.
template <class Team, int kHeld, class Source>
__device__ Choice choose(Bucket<Team, kHeld, Source>& bucket, int kept, uint32_t largest) {
  uint32_t threshold = 0;
  for (int bit = 30; bit >= 0; --bit) {
    const uint32_t tried = threshold | 1u << bit;
    if (tried > largest) continue;
    const int count = count_from(bucket, tried);
    if (count == kept) return {tried - 1, 0};
    if (count > kept) threshold = tried;
  }
  return {threshold, threshold == largest ? kept : kept - count_from(bucket, threshold + 1)};
}

// The sum of the values of the team's members in front of this one, and that of all.
template <class Team>
__device__ int exclusive_sum(int value, int& total) {
  const int lane = Team::rank() % 32;
  int sum = value;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int earlier = __shfl_up_sync(~0u, sum, distance);
    if (lane >= distance) sum += earlier;
  }
  if constexpr (Team::kWarps == 1) {
    total = __shfl_sync(~0u, sum, 31);
    return sum - value;
  } else {
    __shared__ int of_warps[Team::kWarps];
    if (lane == 31) of_warps[Team::rank() / 32] = sum;
    Team::sync();
    int before = 0;
    total = 0;
    for (int i = 0; i < Team::kWarps; ++i) {
      if (i == Team::rank() / 32) before = total;
      total += of_warps[i];
    }
    Team::sync();
    return before + sum - value;
  }
}

// visit(element within the block, its place among the kept, its value, which the visit may replace) for what the choice keeps; then
// leave(first element, how many, the elements), for all.
template <class Team, int kHeld, class Source, class Visit, class Leave>
__device__ void visit_chosen(Bucket<Team, kHeld, Source>& bucket, const Choice& choice, int kept, Visit&& visit, Leave&& leave) {
  int above_before = 0, ties_before = 0;
  bucket.each([&](int at, int count, float(&a)[kGroup]) {
    unsigned above = 0, ties = 0;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      const uint32_t magnitude = __float_as_uint(a[j]) & 0x7fffffff;
      above |= static_cast<unsigned>(j < count && magnitude > choice.threshold) << j;
      ties |= static_cast<unsigned>(j < count && magnitude == choice.threshold) << j;
    }
    int total = 0;  // both counts in one sum: a step has at most 2048 elements
    const int before = exclusive_sum<Team>(__popc(above) | __popc(ties) << 16, total);
    const int above_here = above_before + (before & 0xffff), ties_here = ties_before + (before >> 16);
    above_before += total & 0xffff;
    ties_before += total >> 16;
    if (above != 0 || ties != 0) {
#pragma unroll
      for (int j = 0; j < kGroup; ++j) {
        const unsigned earlier = (1u << j) - 1;
        const int tie = ties_here + __popc(ties & earlier);
        const int place = above_here + __popc(above & earlier) + min(tie, choice.ties);
        const bool is_kept = (above >> j & 1) != 0 || ((ties >> j & 1) != 0 && tie < choice.ties);
        if (is_kept && place < kept) visit(at + j, place, a[j]);  // numbers that are not finite are not counted right
      }
    }
    leave(at, count, a);
  });
}

// A stream of bits in words of shared memory that were 0: fields of up to 32 bits, at any place, by any thread.
struct BitImage {
  __device__ void put(uint32_t field, unsigned at) const {
    atomicOr(&words[at / 32], field << at % 32);
    if (at % 32 != 0 && field >> (32 - at % 32) != 0) atomicOr(&words[at / 32 + 1], field >> (32 - at % 32));
  }
  uint32_t* words;
};

// Bits [at, at + count) of a stream in memory that is padded to words; count <= 25.
__device__ inline uint32_t get_bits(const uint32_t* words, uint64_t at, unsigned count) {
  const uint64_t word = at / 32;
  const uint32_t low = words[word], high = at % 32 + count > 32 ? words[word + 1] : 0;
  return __funnelshift_r(low, high, at % 32) & ((1u << count) - 1);
}

}  // namespace thinwire::compressors::device
