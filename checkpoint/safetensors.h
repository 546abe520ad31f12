// The safetensors file format (docs/formats/checkpoint.md): 8-byte header length, JSON header, raw little-endian tensors without holes.
//
// What is read is distrusted: a file either keeps every rule of the format or is refused with a CheckpointError that names path and defect.
// Functions may be called from any thread; a SafetensorsFile does not change.
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

// "F32 [2, 3]", for people.
std::string describe_tensor(DType dtype, const std::vector<int64_t>& shape);

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
// Of a file with `data_bytes` behind the header. CheckpointError begins with `source`: every rule of the format but the content of the
// tensors.
SafetensorsHeader parse_safetensors_header(ConstBytes header, uint64_t data_bytes, const std::string& source);

// A validated file, open for reading; only its header is in memory. Throws CheckpointError naming path and defect: every rule of the format
// but the content of the tensors is checked before any tensor is handed out, sizes before they are allocated.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(InputFile file);
  explicit SafetensorsFile(const std::filesystem::path& path) : SafetensorsFile(InputFile(path)) {}
  const std::filesystem::path& path() const { return file_.path(); }
  const SafetensorsHeader& header() const { return header_; }
  const std::map<std::string, TensorEntry>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  std::vector<std::byte> data(const std::string& name) const;  // of a whole tensor; CheckpointError when absent
  // As many bytes of a tensor of this file as `into` has, from `at` on. Any thread.
  void read(const TensorEntry& entry, uint64_t at, MutableBytes into) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
};

}  // namespace thinwire::checkpoint
