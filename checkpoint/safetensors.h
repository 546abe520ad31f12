// The safetensors file format (docs/formats/checkpoint.md): 8-byte header length, JSON header, raw little-endian tensors without holes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"

namespace thinwire::checkpoint {

struct TensorView {                 // what is to be written: memory that stays the caller's
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  ConstBytes bytes;
};

struct FileSummary {                // what was written, for the manifest
  uint64_t bytes = 0;
  uint64_t hash = 0;                // XXH3-64 of the whole file
};

// Writes and fsyncs a new file; an existing one is an error. CheckpointError names the path and the errno text (disk full among them).
FileSummary write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata);

struct TensorEntry {
  DType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;              // within the data part
};

// A validated file, wholly in memory. Throws CheckpointError naming path and defect: every rule of the format is checked before any
// tensor is handed out, sizes before they are allocated.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  ConstBytes data(const std::string& name) const;  // CheckpointError when absent
  FileSummary summary() const { return summary_; }

 private:
  std::filesystem::path path_;
  std::vector<std::byte> bytes_;
  size_t data_begin_ = 0;
  std::map<std::string, TensorEntry> tensors_;
  std::map<std::string, std::string> metadata_;
  FileSummary summary_;
};

}  // namespace thinwire::checkpoint
