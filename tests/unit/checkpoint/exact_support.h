// Numbers as training leaves them, and codings of single tensors.
#pragma once
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/exact/tensor.h"

namespace thinwire::checkpoint::exact::testing {

using Bytes = std::vector<std::byte>;

template <class T>
Bytes to_bytes(const std::vector<T>& values) {
  const ConstBytes bytes = thinwire::bytes_of(std::span<const T>(values));
  return {bytes.begin(), bytes.end()};
}

// Normal numbers of the given size, times one factor for each row and column when rows are given: as second moments are.
inline std::vector<float> normal_floats(size_t elems, uint64_t seed, float size, size_t row_elems = 0) {
  const Draw draw(seed);
  std::vector<float> values(elems);
  for (size_t i = 0; i < elems; ++i) {
    values[i] = size * static_cast<float>(draw.normal(i));
    if (row_elems > 0) values[i] *= std::exp2(static_cast<float>(i / row_elems % 7) - static_cast<float>(i % row_elems % 5));
  }
  return values;
}

// Every value moved by about `step`.
inline std::vector<float> stepped(std::vector<float> values, uint64_t seed, float step) {
  const Draw draw(seed);
  for (size_t i = 0; i < values.size(); ++i) values[i] += step * static_cast<float>(draw.normal(i));
  return values;
}

inline Bytes random_bytes(size_t count, uint64_t seed) {
  Bytes bytes(count);
  const Draw draw(seed);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(draw.bits(i));
  return bytes;
}

inline Bytes encode_one(const Tensor& tensor, int threads = 1) { return joined(encode({tensor}, threads).front()); }

inline Bytes decode_one(ConstBytes coded, DType dtype, ConstBytes earlier, size_t num_bytes, int threads = 1) {
  Bytes out(num_bytes);
  decode({{coded, dtype, earlier, out, "a tensor"}}, threads);
  return out;
}

inline bool comes_back(const Tensor& tensor) {
  const Bytes out = decode_one(encode_one(tensor), tensor.dtype, tensor.earlier.memory(), tensor.bytes.size());
  return std::ranges::equal(out, tensor.bytes);
}

// Of the format page: a header of 24 bytes, 20 for each chunk, 8 of hash.
inline size_t table_bytes(size_t chunks) { return 24 + 20 * chunks; }
inline void mend_table_hash(Bytes& coded, size_t chunks) {
  store_le(coded.data() + table_bytes(chunks), hash64(ConstBytes(coded).first(table_bytes(chunks))));
}

}  // namespace thinwire::checkpoint::exact::testing
