// How a tensor lies in a .safetensors file: as it is, or coded (exact/tensor.h).
//
// A coded tensor is stored as a U8 tensor of its coding's length, so that whatever reads safetensors can open the file. What it is in
// memory stands in __metadata__ under "coding/<name>" (docs/formats/checkpoint.md).
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/safetensors.h"

namespace thinwire::checkpoint {

enum class Coding : uint8_t {
  none,             // the bytes of the tensor
  exact,            // an exact coding of them
  exact_from_base,  // one that needs the same tensor of the checkpoint's base
};

struct StoredTensor {
  DType dtype = DType::f32;  // of the tensor in memory, as is shape
  std::vector<int64_t> shape;
  Coding coding = Coding::none;
  TensorEntry entry;  // where its bytes lie in the file
  uint64_t stored_bytes() const { return entry.end - entry.begin; }
};

// The entry of __metadata__ for a tensor that is coded.
std::pair<std::string, std::string> coding_metadata(const std::string& name, Coding coding, DType dtype, const std::vector<int64_t>& shape);

// All tensors of a file, by name. CheckpointError when the metadata of one do not fit: another type, a name that is not there, a shape that
// so few bytes cannot hold.
std::map<std::string, StoredTensor> stored_tensors(const SafetensorsHeader& header, const std::string& source);
inline std::map<std::string, StoredTensor> stored_tensors(const SafetensorsFile& file) {
  return stored_tensors(file.header(), file.path().string());
}

}  // namespace thinwire::checkpoint
