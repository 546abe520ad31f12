// For kernels: the elements that a codec encodes, eight consecutive ones a thread at a time.
//
// Eight, because eight elements of any whole number of bits fill whole bytes. They are read and written 16 bytes at a time where the
// address allows it, else one by one.
#pragma once
#include <cstdint>
#include <cstring>

#include "compressors/device_codec.h"

namespace thinwire::compressors::device {

constexpr int kGroup = 8;

__device__ inline bool is_aligned(const void* address) { return (reinterpret_cast<uintptr_t>(address) & 15) == 0; }

// The first `count` of eight, 0 behind them.
template <class T>
__device__ void load_group(const T* from, int count, T (&values)[kGroup]) {
  constexpr int kVectors = kGroup * sizeof(T) / 16;
  if (count >= kGroup && is_aligned(from)) {
    uint4 vectors[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; ++i) vectors[i] = reinterpret_cast<const uint4*>(from)[i];
    memcpy(values, vectors, sizeof values);
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) values[j] = j < count ? from[j] : T{};
}

template <class T>
__device__ void store_group(const T (&values)[kGroup], int count, T* to) {
  constexpr int kVectors = kGroup * sizeof(T) / 16;
  if (count >= kGroup && is_aligned(to)) {
    uint4 vectors[kVectors];
    memcpy(vectors, values, sizeof values);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) reinterpret_cast<uint4*>(to)[i] = vectors[i];
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) to[j] = values[j];
  }
}

__device__ inline bool is_finite(float value) { return (__float_as_uint(value) & 0x7f800000) != 0x7f800000; }

// Keeps the least of the places that are reported.
__device__ inline void report_fault(DeviceReport* report, uint64_t where) {
  atomicMin(reinterpret_cast<unsigned long long*>(&report->fault), static_cast<unsigned long long>(where));
}
__device__ inline bool is_faulty(const DeviceReport* report) {
  return *const_cast<const volatile uint64_t*>(&report->fault) != DeviceReport::kNoFault;
}

// a = decay * residual + scale * x, each product and the sum rounded (the module is compiled without contraction).
struct Sum {
  explicit Sum(const DeviceIn& in)
      : x(in.x),
        residual(in.residual),
        left(in.left),
        scale(in.scale),
        decay(in.decay),
        in_place(in.left != nullptr && in.left == in.residual) {}

  __device__ void load(size_t i, int count, float (&a)[kGroup]) const {
    load_group(x + i, count, a);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) a[j] = scale * a[j];
    if (residual == nullptr) return;
    float kept[kGroup];
    load_group(residual + i, count, kept);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) a[j] = decay * kept[j] + a[j];
  }
  __device__ float at(size_t i) const {
    const float fresh = scale * x[i];
    return residual == nullptr ? fresh : decay * residual[i] + fresh;
  }
  __device__ void leave(size_t i, int count, const float (&values)[kGroup]) const {
    if (left != nullptr) store_group(values, count, left + i);
  }
  // In place, all of a was looked at before: nothing is written after a fault. The same for all threads.
  __device__ bool stops(const DeviceReport* report) const { return in_place && is_faulty(report); }

  const float* x;
  const float* residual;
  float* left;
  float scale, decay;
  bool in_place;
};

// place(j) is where element j of the group is in the layer; what is behind the group's end is 0.
template <class Place>
__device__ void report_non_finite(const float (&a)[kGroup], const Place& place, DeviceReport* report) {
  bool finite = true;
#pragma unroll
  for (int j = 0; j < kGroup; ++j) finite &= is_finite(a[j]);
  if (finite) return;
#pragma unroll
  for (int j = kGroup - 1; j >= 0; --j) {
    if (!is_finite(a[j])) report_fault(report, place(j));
  }
}
__device__ inline void report_non_finite(const float (&a)[kGroup], size_t first, DeviceReport* report) {
  report_non_finite(
      a, [=](int j) { return first + j; }, report);
}

}  // namespace thinwire::compressors::device
