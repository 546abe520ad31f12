#include "checkpoint/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own bound
constexpr const char* kMetadataKey = "__metadata__";
constexpr std::array<std::pair<DType, std::string_view>, 6> kDTypeNames = {
    {{DType::f32, "F32"}, {DType::bf16, "BF16"}, {DType::f16, "F16"}, {DType::i64, "I64"}, {DType::u8, "U8"}, {DType::f64, "F64"}}};

[[noreturn]] void refuse(const std::string& source, const std::string& defect) {
  throw CheckpointError(fmt::format("{}: not a valid safetensors file: {}", source, defect));
}

uint64_t checked_header_bytes(ConstBytes length_field, uint64_t file_bytes, const std::string& source) {
  const uint64_t header_bytes = load_le<uint64_t>(length_field.data());
  if (header_bytes > kMaxHeaderBytes) {
    refuse(source, fmt::format("its header claims {} bytes; the format allows {}", header_bytes, kMaxHeaderBytes));
  }
  if (header_bytes > file_bytes - kLengthBytes) {
    refuse(source, fmt::format("its header claims {} bytes, but the file has only {} (truncated?)", header_bytes, file_bytes));
  }
  return header_bytes;
}

std::map<std::string, std::string> parse_metadata(const json& object, const std::string& source) {
  if (!object.is_object()) refuse(source, "__metadata__ is not an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) refuse(source, fmt::format("__metadata__ entry {} is not a string", in_quotes(key)));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

TensorEntry parse_entry(const json& object, const std::string& source) {
  if (!object.is_object()) refuse(source, "the entry is not an object");
  if (object.size() != 3) refuse(source, "the entry does not consist of dtype, shape and data_offsets");
  TensorEntry entry{parse_dtype(text_member(object, "dtype", source), source), shape_member(object, source), 0, 0};
  const json& offsets = member(object, "data_offsets", json::value_t::array, source);
  if (offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    refuse(source, "data_offsets are not two offsets");
  }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  if (entry.end < entry.begin) refuse(source, fmt::format("data_offsets end at {}, before they begin at {}", entry.end, entry.begin));
  const std::optional<uint64_t> needed = num_bytes(entry.dtype, entry.shape);
  if (!needed) refuse(source, "the product of its shape overflows");
  if (*needed != entry.end - entry.begin) {
    refuse(source, fmt::format("its shape needs {} bytes, but data_offsets span {}", *needed, entry.end - entry.begin));
  }
  return entry;
}

// The data part is the tensors one after another, and nothing else.
void check_layout(const std::map<std::string, TensorEntry>& tensors, uint64_t data_bytes, const std::string& source) {
  std::vector<std::pair<const std::string*, const TensorEntry*>> in_file;
  for (const auto& [name, entry] : tensors) in_file.emplace_back(&name, &entry);
  std::sort(in_file.begin(), in_file.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  uint64_t end = 0;
  for (const auto& [name, entry] : in_file) {
    if (entry->begin != end) {
      refuse(source, fmt::format("tensor {} begins at {}, but what comes before it ends at {} ({})", in_quotes(*name), entry->begin, end,
                                 entry->begin > end ? "a hole" : "an overlap"));
    }
    end = entry->end;
  }
  if (end > data_bytes)
    refuse(source, fmt::format("its tensors need {} bytes, but only {} follow the header (truncated?)", end, data_bytes));
  if (end < data_bytes) refuse(source, fmt::format("{} bytes follow the last tensor", data_bytes - end));
}

// Header and length field as they stand at the beginning of the file.
std::string header_text(const std::vector<TensorView>& tensors, const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) text += fmt::format("\"{}\":{},", kMetadataKey, json(metadata).dump());
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    check(num_bytes(tensor.dtype, tensor.shape) == tensor.bytes.size(), "a tensor's memory has the size of its shape");
    text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}},", json(tensor.name).dump(),
                        dtype_name(tensor.dtype), json(tensor.shape).dump(), offset, offset + tensor.bytes.size());
    offset += tensor.bytes.size();
  }
  if (text.ends_with(',')) text.pop_back();
  text += '}';
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  if (text.size() > kMaxHeaderBytes)
    throw CheckpointError(fmt::format("a header of {} bytes is more than safetensors allows", text.size()));
  std::string with_length(kLengthBytes, '\0');
  store_le<uint64_t>(reinterpret_cast<std::byte*>(with_length.data()), text.size());
  return with_length + text;
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  for (const auto& [value, name] : kDTypeNames) {
    if (value == dtype) return name;
  }
  broken_invariant("every DType has a name");
}

DType parse_dtype(std::string_view name, const std::string& source) {
  for (const auto& [value, known] : kDTypeNames) {
    if (known == name) return value;
  }
  throw CheckpointError(fmt::format("{}: unknown dtype {} (known: F32, BF16, F16, I64, U8, F64)", source, in_quotes(name)));
}

std::optional<uint64_t> num_bytes(DType dtype, const std::vector<int64_t>& shape) {
  uint64_t product = size_of(dtype);
  for (const int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(product, static_cast<uint64_t>(dimension), &product)) return std::nullopt;
  }
  return product;
}

FileSummary write_safetensors(Files& files, const std::filesystem::path& path, std::vector<TensorView> tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    return size_of(a.dtype) != size_of(b.dtype) ? size_of(a.dtype) > size_of(b.dtype) : a.name < b.name;
  });
  std::set<std::string_view> names = {kMetadataKey};
  for (const TensorView& tensor : tensors) check(names.insert(tensor.name).second, "tensor names are unique");
  const std::string header = header_text(tensors, metadata);
  NewFile file(files, path);
  file.write(bytes_of(header));
  for (const TensorView& tensor : tensors) file.write(tensor.bytes);
  return file.finish();
}

FileSummary write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  Files files;
  return write_safetensors(files, path, tensors, metadata);
}

std::string describe_tensor(DType dtype, const std::vector<int64_t>& shape) {
  return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

SafetensorsHeader parse_safetensors_header(ConstBytes header, uint64_t data_bytes, const std::string& source) {
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  if (!text.starts_with('{')) refuse(source, "its header does not begin with '{'");
  const json root = parse_strict_json(text, source);
  SafetensorsHeader parsed;
  parsed.data_begin = kLengthBytes + header.size();
  for (const auto& [name, value] : root.items()) {
    if (name == kMetadataKey) {
      parsed.metadata = parse_metadata(value, source);
    } else {
      parsed.tensors.emplace(name, parse_entry(value, fmt::format("{}: tensor {}", source, in_quotes(name))));
    }
  }
  check_layout(parsed.tensors, data_bytes, source);
  return parsed;
}

SafetensorsFile::SafetensorsFile(InputFile file) : file_(std::move(file)) {
  const std::string source = path().string();
  if (file_.size() < kLengthBytes) refuse(source, fmt::format("it has only {} bytes", file_.size()));
  std::array<std::byte, kLengthBytes> field;
  file_.read_at(0, field);
  std::vector<std::byte> header(checked_header_bytes(field, file_.size(), source));
  file_.read_at(kLengthBytes, header);
  header_ = parse_safetensors_header(header, file_.size() - kLengthBytes - header.size(), source);
}

std::vector<std::byte> SafetensorsFile::data(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) throw CheckpointError(fmt::format("{}: there is no tensor {}", path().string(), in_quotes(name)));
  std::vector<std::byte> bytes(found->second.end - found->second.begin);
  read(found->second, 0, bytes);
  return bytes;
}

void SafetensorsFile::read(const TensorEntry& entry, uint64_t at, MutableBytes into) const {
  check(at + into.size() <= entry.end - entry.begin, "what is read lies within the tensor");
  file_.read_at(header_.data_begin + entry.begin + at, into);
}

}  // namespace thinwire::checkpoint
