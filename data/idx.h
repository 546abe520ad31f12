// The IDX format of the MNIST family (LeCun, Cortes and Burges, "The MNIST database"), packed by gzip. Big-endian:
//
//   0, 0, type, rank      type 8: unsigned bytes
//   u32 x rank            sizes, the slowest dimension first
//   u8 x their product    and nothing behind it
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace thinwire::data {

struct IdxBytes {
  std::vector<int64_t> sizes;
  std::vector<uint8_t> values;  // row-major
};

// An array of unsigned bytes with `rank` dimensions, none of which is empty. DataError naming the file, what was expected and what is
// there; no size that the file states is trusted with an allocation.
IdxBytes read_idx(const std::filesystem::path& path, size_t rank);

}  // namespace thinwire::data
