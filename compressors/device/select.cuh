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
  if (block_elems <= 1024) return launch.template operator()<Team<128>, 1>();
  return launch.template operator()<Team<256>, 2>();
}

// Kept is what is above the threshold, a magnitude as bits, and the first `ties` of those that equal it.
struct Choice {
  uint32_t threshold;
  int ties;
};

// How many magnitudes of the bucket reach each of three: the counts, of at most 4096, stand in the low and high halves of two words.
struct Counts {
  int first_two, third;
};

// `turn` alternates between calls: what one call reads is then not overwritten before the next but one, so each needs one barrier.
template <class Team, int kHeld, class Source>
__device__ Counts count_from(Bucket<Team, kHeld, Source>& bucket, const uint32_t (&magnitudes)[3], int turn) {
  const float least[3] = {__uint_as_float(magnitudes[0]), __uint_as_float(magnitudes[1]), __uint_as_float(magnitudes[2])};
  Counts own{0, 0};
  bucket.each([&](int, int, const float(&a)[kGroup]) {
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      const float magnitude = fabsf(a[j]);
      own.first_two += (magnitude >= least[0] ? 1 : 0) + (magnitude >= least[1] ? 1 << 16 : 0);
      own.third += magnitude >= least[2] ? 1 : 0;
    }
  });
  own = {__reduce_add_sync(~0u, own.first_two), __reduce_add_sync(~0u, own.third)};
  if constexpr (Team::kWarps > 1) {
    __shared__ Counts of_warps[2][Team::kWarps];
    if (Team::rank() % 32 == 0) of_warps[turn][Team::rank() / 32] = own;
    Team::sync();
    own = {0, 0};
#pragma unroll
    for (int i = 0; i < Team::kWarps; ++i) {
      own.first_two += of_warps[turn][i].first_two;
      own.third += of_warps[turn][i].third;
    }
  }
  return own;
}

// The threshold is found from its top bits down, two at a time: the highest of the four numbers that continue it is taken which at least
// `kept` magnitudes reach. A number that exactly `kept` reach ends the search. `largest` is the largest magnitude; what is behind a block's
// end is 0, and no number tried is.
template <class Team, int kHeld, class Source>
__device__ Choice choose(Bucket<Team, kHeld, Source>& bucket, int kept, uint32_t largest) {
  constexpr uint32_t kNan = 0x7fffffff;
  uint32_t threshold = 0;
  int above = 0, turn = 0;  // magnitudes above the numbers that are still open
  for (int shift = 30; shift >= 0; shift -= 2) {
    // The top digit has one bit: the other numbers are NaN, which nothing reaches.
    const bool is_top = shift == 30;
    const uint32_t tried[3] = {threshold | 1u << shift, is_top ? kNan : threshold | 2u << shift, is_top ? kNan : threshold | 3u << shift};
    if (tried[0] > largest) continue;
    const Counts counts = count_from(bucket, tried, turn);
    turn ^= 1;
    const int reached[3] = {counts.first_two & 0xffff, counts.first_two >> 16, counts.third};
#pragma unroll
    for (int i = 2; i >= 0; --i) {
      if (reached[i] == kept) return {tried[i] - 1, 0};
    }
    if (reached[2] > kept) {
      threshold = tried[2];
    } else if (reached[1] > kept) {
      threshold = tried[1];
      above = reached[2];
    } else if (reached[0] > kept) {
      threshold = tried[0];
      above = reached[1];
    } else {
      above = reached[0];
    }
  }
  return {threshold, kept - above};
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
