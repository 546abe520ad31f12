// Exact coding of tensors: every byte comes back, in fewer bytes. A header, a table of chunks, the chunks (docs/formats/checkpoint.md).
//
// Safe from any thread; the threads that coding uses are its own and gone when it returns.
#pragma once
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"

namespace thinwire::checkpoint::exact {

struct Tensor {
  DType dtype = DType::f32;
  uint64_t row_elems = 0;  // of the last dimension, or of all but the first; 0 where there are no rows
  ConstBytes bytes;
  ConstBytes earlier;  // an earlier generation of the same tensor, as long; or empty
};

// A coding in parts: the header and each chunk, to be stored one after another.
using Parts = std::vector<std::vector<std::byte>>;

// One coding for each tensor, the same for every number of threads. Holds all of them in memory.
std::vector<Parts> encode(const std::vector<Tensor>& tensors, int threads);
size_t num_bytes(const Parts& parts);
std::vector<std::byte> joined(const Parts& parts);

// What a coding claims to be, after its header and table were checked against their own hash and against the length of `coded`. Nothing is
// allocated for it that `coded` is not long enough for. CorruptData begins with `source`.
struct Facts {
  DType dtype = DType::f32;
  uint64_t elems = 0;
  bool needs_earlier = false;
};
Facts inspect(ConstBytes coded, const std::string& source);

struct Coded {
  ConstBytes coded;
  DType dtype = DType::f32;  // what is expected, as is the size of out
  ConstBytes earlier;        // what `coded` was coded against; or empty
  MutableBytes out;
  std::string source;  // for messages
};

// The bytes of all tensors. Checked are the hash of each chunk's coding and that of its bytes, so that damage, another dtype or size, and
// another earlier generation are told: CorruptData begins with the tensor's source, and then all `out` hold anything.
void decode(const std::vector<Coded>& tensors, int threads);

}  // namespace thinwire::checkpoint::exact
