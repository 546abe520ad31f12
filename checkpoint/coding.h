// How a tensor lies in a .safetensors file: as it is, or coded (exact/tensor.h, near/tensor.h, extreme/tensor.h).
//
// A coded tensor is stored as a U8 tensor of its coding's length, so that whatever reads safetensors can open the file. What it is in
// memory stands in __metadata__ under "coding/<name>" (docs/formats/checkpoint.md).
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/extreme/tensor.h"
#include "checkpoint/near/blocks.h"
#include "checkpoint/safetensors.h"

namespace thinwire::checkpoint {

enum class Coding : uint8_t {
  none,             // the bytes of the tensor
  exact,            // an exact coding of them
  exact_from_base,  // one that needs the same tensor of the checkpoint's base
  values8,          // near-exact ones, of fp32: values and roots, in 8 or 4 bits
  values4,
  roots8,
  roots4,
  centres,            // extreme ones, of fp32
  centres_from_base,  // what it moved by since the base
};
bool is_exact(Coding coding);       // or none: no bit is lost
bool is_extreme(Coding coding);     // what is neither is near-exact
near::Form form_of(Coding coding);  // of a near-exact one
inline extreme::Kind kind_of(Coding coding) {
  return coding == Coding::centres_from_base ? extreme::Kind::differences : extreme::Kind::values;
}
inline bool needs_base(Coding coding) { return coding == Coding::exact_from_base || coding == Coding::centres_from_base; }
Coding coding_of(const near::Form& form);
std::string describe_tolerance(const near::Form& form);  // "values within 1/254 of the largest of their block of 256", for people
std::string describe_tolerance(extreme::Kind kind);      // "each as one of 16 values"

struct StoredTensor {
  DType dtype = DType::f32;  // of the tensor in memory, as is shape
  std::vector<int64_t> shape;
  Coding coding = Coding::none;
  std::string guide = {};  // of an extreme coding: a tensor of the same file that it was coded with; or empty
  TensorEntry entry;       // where its bytes lie in the file
  uint64_t stored_bytes() const { return entry.end - entry.begin; }
};

// The entry of __metadata__ for a tensor that is coded.
std::pair<std::string, std::string> coding_metadata(const std::string& name, Coding coding, DType dtype, const std::vector<int64_t>& shape,
                                                    const std::string& guide = {});

// All tensors of a file, by name. CheckpointError when the metadata of one do not fit: another type, a name that is not there, a shape that
// so few bytes cannot hold.
std::map<std::string, StoredTensor> stored_tensors(const SafetensorsHeader& header, const std::string& source);
inline std::map<std::string, StoredTensor> stored_tensors(const SafetensorsFile& file) {
  return stored_tensors(file.header(), file.path().string());
}

}  // namespace thinwire::checkpoint
