// For kernels: a bucket of consecutive elements, worked on by the threads of a team: a warp where the bucket is small, else a block.
#pragma once
#include "compressors/device/elements.cuh"

namespace thinwire::compressors::device {

// The members take part in every call together, and all get the result. kThreads: 32, or those of the whole block, a multiple of 32.
template <int kThreads_>
struct Team {
  static constexpr int kThreads = kThreads_, kBlockThreads = kThreads == 32 ? 256 : kThreads, kPerBlock = kBlockThreads / kThreads;
  static constexpr int kWarps = kThreads / 32;
  // Blocks that should fit a multiprocessor at once, so that some compute while others wait for memory: what the registers are shared
  // among.
  static constexpr int kBlocks = kThreads == 1024 ? 1 : kThreads == 128 ? 10 : 1024 / kBlockThreads;

  static __device__ int rank() { return static_cast<int>(threadIdx.x) % kThreads; }
  static __device__ int within_block() { return static_cast<int>(threadIdx.x) / kThreads; }
  static __device__ size_t index() { return size_t{blockIdx.x} * kPerBlock + within_block(); }
  static __device__ void sync() {
    if constexpr (kWarps == 1) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  // `join` is associative and commutative.
  template <class T, class Join>
  static __device__ T reduce(T value, const Join& join) {
    for (int distance = 16; distance > 0; distance /= 2) value = join(value, of_lane_beside(value, distance));
    if constexpr (kWarps > 1) {
      __shared__ T of_warps[kWarps];
      if (rank() % 32 == 0) of_warps[rank() / 32] = value;
      sync();
      value = of_warps[0];
      for (int i = 1; i < kWarps; ++i) value = join(value, of_warps[i]);
      sync();
    }
    return value;
  }
  static __device__ int sum(int value) {
    value = __reduce_add_sync(~0u, value);
    if constexpr (kWarps > 1) {
      __shared__ int of_warps[kWarps];
      if (rank() % 32 == 0) of_warps[rank() / 32] = value;
      sync();
      value = 0;
      for (int i = 0; i < kWarps; ++i) value += of_warps[i];
      sync();
    }
    return value;
  }

  // What `make` makes: by the first warp alone where there are more, since it is costly. Once a kernel.
  template <class Make>
  static __device__ auto of_one_warp(Make&& make) {
    using T = decltype(make());
    if constexpr (kWarps == 1) {
      return make();
    } else {
      __shared__ __align__(16) std::byte shared[sizeof(T)];
      if (rank() < 32) {
        const T made = make();
        if (rank() == 0) memcpy(shared, &made, sizeof made);
      }
      sync();
      T made;
      memcpy(&made, shared, sizeof made);
      return made;
    }
  }

  // The value of rank 0.
  template <class T>
  static __device__ T of_first(T value) {
    if constexpr (kWarps == 1) return __shfl_sync(~0u, value, 0);
    __shared__ T shared;
    if (rank() == 0) shared = value;
    sync();
    const T first = shared;
    sync();
    return first;
  }

 private:
  // T is made of 4-byte words.
  template <class T>
  static __device__ T of_lane_beside(T value, int distance) {
    uint32_t words[sizeof(T) / 4];
    memcpy(words, &value, sizeof value);
#pragma unroll
    for (uint32_t& word : words) word = __shfl_xor_sync(~0u, word, distance);
    memcpy(&value, words, sizeof value);
    return value;
  }
};

// Where a bucket's elements are in the layer: one behind the other.
struct Run {
  __device__ void load(int at, int count, float (&a)[kGroup]) const { sum.load(begin + at, count, a); }
  __device__ void leave(int at, int count, const float (&a)[kGroup]) const { sum.leave(begin + at, count, a); }
  __device__ size_t place(int at) const { return begin + at; }

  Sum sum;
  size_t begin;
};

// A bucket's elements of a. Up to kHeld groups a thread are kept in registers; with none, they are formed anew whenever they are visited,
// from memory that is in a cache by then.
template <class Team, int kHeld, class Source = Run>
class Bucket {
 public:
  static constexpr int kStride = Team::kThreads * kGroup;  // elements that the team visits at once

  __device__ Bucket(const Source& source, int count) : source_(source), count_(count) {
#pragma unroll
    for (int step = 0; step < kHeld; ++step) source.load(at(step), size(step), held_[step]);
  }

  __device__ int count() const { return count_; }

  // visit(first element within the bucket, how many of the eight there are: 0 to 8, the elements, 0 behind those). All threads of the team
  // make as many visits.
  template <class Visit>
  __device__ void each(Visit&& visit) {
    if constexpr (kHeld > 0) {
#pragma unroll
      for (int step = 0; step < kHeld; ++step) visit(at(step), size(step), held_[step]);
    } else {
      for (int step = 0; step * kStride < count_; ++step) {
        float a[kGroup];
        source_.load(at(step), size(step), a);
        visit(at(step), size(step), a);
      }
    }
  }

 private:
  __device__ int at(int step) const { return step * kStride + Team::rank() * kGroup; }
  __device__ int size(int step) const { return max(0, min(kGroup, count_ - at(step))); }

  const Source& source_;
  int count_;
  float held_[kHeld > 0 ? kHeld : 1][kGroup];
};

// LaneSum of lane_sum.h, to the bit, of term(a) for all elements a of a bucket; term(0) is 0. The elements pass through shared memory, as
// partial sum j is one thread's, in order.
template <class Team, int kHeld, class Term>
__device__ double lane_sum(Bucket<Team, kHeld>& bucket, const Term& term) {
  constexpr int kLanes = 16, kTile = Team::kThreads * kGroup;
  __shared__ __align__(16) float tiles[Team::kPerBlock][kTile];
  float* tile = tiles[Team::within_block()];
  double partial = 0;
  bucket.each([&](int, int, const float(&a)[kGroup]) {
    store_group(a, kGroup, tile + Team::rank() * kGroup);
    Team::sync();
    if (Team::rank() < kLanes) {
#pragma unroll 8
      for (int i = Team::rank(); i < kTile; i += kLanes) partial += term(tile[i]);
    }
    Team::sync();
  });
  for (int width = kLanes / 2; width > 0; width /= 2) partial += __shfl_down_sync(~0u, partial, width);
  return Team::of_first(partial);
}

// launch<Team, kHeld>() for buckets of up to this many elements.
template <class Launch>
void with_team(size_t bucket_elems, Launch&& launch) {
  if (bucket_elems <= 256) return launch.template operator()<Team<32>, 1>();
  if (bucket_elems <= 1024) return launch.template operator()<Team<128>, 1>();
  if (bucket_elems <= 2048) return launch.template operator()<Team<256>, 1>();
  return launch.template operator()<Team<1024>, 0>();
}

// The same for decoders, which need nothing of one another: a warp does for most.
template <class Launch>
void with_decoding_team(size_t bucket_elems, Launch&& launch) {
  if (bucket_elems <= 2048) return launch.template operator()<Team<32>>();
  return launch.template operator()<Team<256>>();
}

}  // namespace thinwire::compressors::device
