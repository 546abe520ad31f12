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

// The largest magnitude, as bits; from kNotFinite up, some element is none.
constexpr uint32_t kNotFinite = 0x7f800000;

template <class Team, int kHeld, class Source>
__device__ uint32_t largest_magnitude(Bucket<Team, kHeld, Source>& bucket) {
  uint32_t own = 0;
  bucket.each([&](int, int, const float(&a)[kGroup]) {
#pragma unroll
    for (int j = 0; j < kGroup; ++j) own = max(own, __float_as_uint(a[j]) & 0x7fffffff);
  });
  return Team::reduce(own, [](uint32_t a, uint32_t b) { return max(a, b); });
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

// What is known of the threshold: it is a number in [least, end), less than 2^log2_width above least. `from` magnitudes reach least;
// `above`, fewer than are kept, reach end.
struct Open {
  uint32_t least, end;
  int log2_width;
  int from, above;
};

// The choice, once no more magnitudes are open than the team has threads: each takes one and counts those that are larger.
template <class Team, int kHeld, class Source>
__device__ Choice choose_among(Bucket<Team, kHeld, Source>& bucket, const Open& open, int kept, int* taken) {
  __shared__ uint32_t magnitudes_of_teams[Team::kPerBlock][Team::kThreads];
  __shared__ Choice choices[Team::kPerBlock];
  uint32_t* magnitudes = magnitudes_of_teams[Team::within_block()];
  unsigned is_open = 0;  // a bit for each element of this thread
  bucket.each([&](int at, int count, const float(&a)[kGroup]) {
    unsigned here = 0;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      here |= (__float_as_uint(a[j]) & 0x7fffffff) - open.least < open.end - open.least ? 1u << j : 0;
    }
    is_open |= (here & ((1u << count) - 1)) << at / Bucket<Team, kHeld, Source>::kStride * kGroup;
  });
  const int own = __popc(is_open);
  int end = own;  // of this thread's places among the warp's
  for (int distance = 1; distance < 32; distance *= 2) {
    const int earlier = __shfl_up_sync(~0u, end, distance);
    if (Team::rank() % 32 >= distance) end += earlier;
  }
  int warp_begin = 0;
  if (Team::rank() % 32 == 31) warp_begin = atomicAdd(taken, end);
  int place = __shfl_sync(~0u, warp_begin, 31) + end - own;
  if (is_open != 0) {
    bucket.each([&](int at, int, const float(&a)[kGroup]) {
      const unsigned here = is_open >> at / Bucket<Team, kHeld, Source>::kStride * kGroup;
#pragma unroll
      for (int j = 0; j < kGroup; ++j) {
        if ((here >> j & 1) != 0 && place < Team::kThreads) magnitudes[place++] = __float_as_uint(a[j]) & 0x7fffffff;
      }
    });
  }
  if (Team::rank() == 0) choices[Team::within_block()] = {open.least, 0};  // stays only where some number is not finite
  Team::sync();
  const int count = min(*taken, Team::kThreads), wanted = kept - open.above;
  if (Team::rank() < count) {
    const uint32_t mine = magnitudes[Team::rank()];
    int larger = 0, equal = 0;
#pragma unroll 4
    for (int i = 0; i < count; ++i) {
      larger += magnitudes[i] > mine;
      equal += magnitudes[i] == mine;
    }
    if (larger < wanted && wanted <= larger + equal)
      choices[Team::within_block()] = {mine, wanted - larger};  // all equal ones say the same
  }
  Team::sync();
  return choices[Team::within_block()];
}

// The threshold is looked for among the three highest powers of two first, whatever the scale of a block; then in quarters of what is open,
// and at last among the few magnitudes that are. A number that exactly `kept` magnitudes reach ends the search. `largest` is the largest
// magnitude; what is behind a block's end is 0, and no number tried is.
template <class Team, int kHeld, class Source>
__device__ Choice choose(Bucket<Team, kHeld, Source>& bucket, int kept, uint32_t largest) {
  __shared__ int taken_of_teams[Team::kPerBlock];
  int* taken = &taken_of_teams[Team::within_block()];
  if (Team::rank() == 0) *taken = 0;
  Team::sync();

  Open open{.least = 0, .end = 1u << 31, .log2_width = 31, .from = bucket.count(), .above = 0};
  const uint32_t exponent = largest >> 23;
  bool is_first = exponent > 2;
  for (int turn = 0;; turn ^= 1) {
    if (open.from - open.above <= Team::kThreads) return choose_among(bucket, open, kept, taken);
    if (open.log2_width == 0) return {open.least, kept - open.above};
    const uint32_t base = is_first ? exponent - 3 << 23 : open.least;
    const uint32_t step = is_first ? 1u << 23 : 1u << max(open.log2_width - 2, 0);
    const uint32_t tried[3] = {base + step, base + 2 * step, base + 3 * step};
    const int width_then = is_first ? 23 : max(open.log2_width - 2, 0);
    if (tried[0] <= largest) {
      const Counts counts = count_from(bucket, tried, turn);
      const int reached[3] = {counts.first_two & 0xffff, counts.first_two >> 16, counts.third};
#pragma unroll
      for (int i = 2; i >= 0; --i) {
        if (reached[i] == kept) return {tried[i] - 1, 0};
      }
      if (reached[2] > kept) {
        open = {tried[2], open.end, width_then, reached[2], open.above};
      } else if (reached[1] > kept) {
        open = {tried[1], tried[2], width_then, reached[1], reached[2]};
      } else if (reached[0] > kept) {
        open = {tried[0], tried[1], width_then, reached[0], reached[1]};
      } else {
        open = {open.least, tried[0], is_first ? 31 : width_then, open.from, reached[0]};
      }
    } else {
      open.log2_width = width_then;
    }
    is_first = false;
  }
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
  const float threshold = __uint_as_float(choice.threshold);
  int above_before = 0, ties_before = 0;
  bucket.each([&](int at, int count, float(&a)[kGroup]) {
    unsigned above = 0, ties = 0;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      above |= fabsf(a[j]) > threshold ? 1u << j : 0;
      ties |= fabsf(a[j]) == threshold ? 1u << j : 0;
    }
    ties &= (1u << count) - 1;  // what is behind the end may equal a threshold of 0
    int total = 0;              // both counts in one sum: a step has at most 2048 elements
    const int before = exclusive_sum<Team>(__popc(above) | __popc(ties) << 16, total);
    const int ties_here = ties_before + (before >> 16);
    const int first_place = above_before + (before & 0xffff) + min(ties_here, choice.ties);
    above_before += total & 0xffff;
    ties_before += total >> 16;
    for (int surplus = ties_here + __popc(ties) - choice.ties; surplus > 0 && ties != 0; --surplus) ties ^= 1u << (31 - __clz(ties));
    const unsigned chosen = above | ties;
    if (chosen != 0) {
#pragma unroll
      for (int j = 0; j < kGroup; ++j) {
        if ((chosen >> j & 1) == 0) continue;
        const int place = first_place + __popc(chosen & ((1u << j) - 1));
        if (place < kept) visit(at + j, place, a[j]);  // numbers that are not finite are not counted right
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
