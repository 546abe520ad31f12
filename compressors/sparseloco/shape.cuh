// For kernels: a Plan (plan.h), and where its blocks and their kept values are.
#pragma once
#include "compressors/device/launch.cuh"
#include "compressors/device/select.cuh"
#include "compressors/sparseloco/device.h"

namespace thinwire::compressors::sparseloco {

// Where the elements of one block, row-major, are in the layer.
struct Places {
  __device__ size_t operator()(int at) const {
    return height == 1 ? begin + at : begin + static_cast<size_t>(at / width) * stride + at % width;
  }
  // Eight elements are neighbours in the layer.
  __device__ bool are_smooth() const { return height == 1 || width % device::kGroup == 0; }

  size_t begin, stride;
  int width, height;
};

// The elements of one block, for a Bucket.
struct Tile {
  __device__ void load(int at, int count, float (&a)[device::kGroup]) const {
    if (place.are_smooth()) return sum.load(place(at), count, a);
#pragma unroll
    for (int j = 0; j < device::kGroup; ++j) a[j] = j < count ? sum.at(place(at + j)) : 0;
  }
  __device__ void leave(int at, int count, const float (&a)[device::kGroup]) const {
    if (place.are_smooth()) return sum.leave(place(at), count, a);
    if (sum.left == nullptr) return;
#pragma unroll
    for (int j = 0; j < device::kGroup; ++j) {
      if (j < count) sum.left[place(at + j)] = a[j];
    }
  }

  device::Sum sum;
  Places place;
};

struct Shape {
  explicit Shape(const Plan& plan)
      : blocks(plan.blocks().count()),
        stride(plan.blocks().stride()),
        height(static_cast<int>(plan.blocks().at(0).height)),
        width(static_cast<int>(plan.blocks().at(0).width)),
        across((stride + width - 1) / width),
        first_kept(static_cast<int>(plan.share(0).kept)),
        last_kept(static_cast<int>(plan.share(blocks - 1).kept)),
        last_width(static_cast<int>(plan.blocks().at(blocks - 1).width)),
        parameter(plan.share(0).rice_parameter),
        last_parameter(plan.share(blocks - 1).rice_parameter),
        levels(static_cast<int>(plan.levels())),
        code_bits(plan.code_bits()),
        is_rice(plan.coding() == PositionCoding::rice) {}

  __device__ bool is_last(size_t block) const { return block + 1 == blocks; }
  __device__ int kept(size_t block) const { return is_last(block) ? last_kept : first_kept; }
  __device__ int elems(size_t block) const { return height * (is_last(block) ? last_width : width); }
  __device__ unsigned rice_parameter(size_t block) const { return is_last(block) ? last_parameter : parameter; }
  __device__ size_t first(size_t block) const { return block * first_kept; }  // values that earlier blocks keep
  __device__ Places places(size_t block) const {
    return {block / across * height * stride + block % across * width, stride, is_last(block) ? last_width : width, height};
  }
  __host__ __device__ bool is_binned() const { return code_bits != 0; }
  __host__ __device__ size_t values() const { return (blocks - 1) * first_kept + last_kept; }
  // Without Rice codes: all but the last block of a payload have this many bits.
  __host__ __device__ uint64_t packed_bits(int kept) const { return static_cast<uint64_t>(kept) * (kPackedBits + code_bits); }

  size_t blocks, stride;
  int height, width;
  size_t across;
  int first_kept, last_kept, last_width;
  unsigned parameter, last_parameter;
  int levels;
  unsigned code_bits;
  bool is_rice;
};

// What is kept of all blocks, in device memory.
struct Kept {
  Kept(device::Scratch& scratch, size_t count)
      : values(scratch.take<float>(count)), positions(scratch.take<uint16_t>(count)), codes(scratch.take<uint8_t>(count)) {}

  float* values;
  uint16_t* positions;  // within the block
  uint8_t* codes;       // where values are binned
};

}  // namespace thinwire::compressors::sparseloco
