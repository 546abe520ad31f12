// A model's tensors as Hugging Face lays them out in a folder: model.safetensors, or model-00001-of-00003.safetensors ... with
// model.safetensors.index.json, which says where each tensor is.
//
// What is read is distrusted: everything here throws CheckpointError that names the file and the defect.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace thinwire::checkpoint {

class ModelFolder {
 public:
  explicit ModelFolder(const std::filesystem::path& folder);  // headers are read and validated, tensors are not read
  struct Place {
    size_t file;
    TensorEntry entry;
  };
  const std::map<std::string, Place>& tensors() const { return tensors_; }
  std::vector<std::byte> read(const std::string& name) const;

 private:
  void add(const std::filesystem::path& path);
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> tensors_;
};

// One file, or as many as it takes for none to hold more than max_shard_bytes of tensors (a tensor is never cut). Tensors keep their order.
// The folder exists and holds no file of these names. The same tensors give the same bytes.
void write_model_folder(const std::filesystem::path& folder, const std::vector<TensorView>& tensors, uint64_t max_shard_bytes);

}  // namespace thinwire::checkpoint
