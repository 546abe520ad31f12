// The safetensors file format (docs/formats/checkpoint.md): 8-byte header length, JSON header, raw little-endian tensors without holes.
//
// What is read is distrusted: a file either keeps every rule of the format or is refused with a CheckpointError that names path and defect.
// Functions may be called from any thread; a SafetensorsFile is immutable.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "checkpoint/files.h"

namespace thinwire::checkpoint {

std::string_view dtype_name(DType dtype);  // "F32", "BF16", "F16", "I64", "U8", "F64"
// CheckpointError that begins with `source` for any other name.
DType parse_dtype(std::string_view name, const std::string& source);

// Bytes of a tensor; nullopt when a dimension is negative or the product does not fit 64 bits.
std::optional<uint64_t> num_bytes(DType dtype, const std::vector<int64_t>& shape);

struct TensorView {  // what is to be written: memory that stays the caller's
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  ConstBytes bytes;
};

// Writes and fsyncs a new file; an existing one is an error. CheckpointError names the path and the errno text (disk full among them).
// In the order of falling element size, then name, so that every tensor is aligned to its elements.
FileSummary write_safetensors(Files& files, const std::filesystem::path& path, std::vector<TensorView> tensors,
                              const std::map<std::string, std::string>& metadata);
FileSummary write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata);

struct TensorEntry {
  DType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // within the data part
};

struct SafetensorsHeader {
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
  uint64_t data_begin = 0;  // offset of the data part in the file
};

// Checks every rule but the content of the tensors, without reading them.
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

// A validated file, wholly in memory. Throws CheckpointError naming path and defect: every rule of the format is checked before any
// tensor is handed out, sizes before they are allocated.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const std::map<std::string, TensorEntry>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  ConstBytes data(const std::string& name) const;  // CheckpointError when absent
  FileSummary summary() const { return summary_; }

 private:
  std::filesystem::path path_;
  std::vector<std::byte> bytes_;
  SafetensorsHeader header_;
  FileSummary summary_;
};

}  // namespace thinwire::checkpoint
