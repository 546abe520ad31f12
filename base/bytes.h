// Little-endian bytes, read and written with bounds. Every byte from wire or disk goes through a ByteReader.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/check.h"
#include "base/error.h"

namespace thinwire {

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

static_assert(std::endian::native == std::endian::little, "wire and file formats are little-endian; this build target is not");

template <class T>
requires std::is_trivially_copyable_v<T> T load_le(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
requires std::is_trivially_copyable_v<T>
void store_le(std::byte* to, T value) { std::memcpy(to, &value, sizeof value); }

template <class T>
ConstBytes bytes_of(std::span<T> values) {
  return std::as_bytes(values);
}
inline ConstBytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

// Reads foreign bytes front to back. Running off the end throws CorruptData that names `source` and the offset.
class ByteReader {
 public:
  ByteReader(ConstBytes bytes, std::string_view source) : bytes_(bytes), source_(source) {}
  ByteReader(ConstBytes bytes, const char* source) : ByteReader(bytes, std::string_view(source)) {}
  ByteReader(ConstBytes bytes, std::string&& source) = delete;  // it is only referred to

  template <class T>
  requires std::is_trivially_copyable_v<T> T read(const char* field) { return load_le<T>(take(sizeof(T), field).data()); }

  ConstBytes take(size_t num_bytes, const char* field) {
    if (num_bytes > remaining()) {
      throw CorruptData(std::string(source_) + ": '" + field + "' needs " + std::to_string(num_bytes) + " bytes at offset " + std::to_string(offset_) +
                        ", but only " + std::to_string(remaining()) + " are left");
    }
    ConstBytes taken = bytes_.subspan(offset_, num_bytes);
    offset_ += num_bytes;
    return taken;
  }

  size_t remaining() const { return bytes_.size() - offset_; }
  size_t offset() const { return offset_; }

 private:
  ConstBytes bytes_;
  std::string_view source_;
  size_t offset_ = 0;
};

// Fills a buffer whose size the caller worked out beforehand; overrunning it is our own bug.
class ByteWriter {
 public:
  explicit ByteWriter(MutableBytes bytes) : bytes_(bytes) {}

  template <class T>
  requires std::is_trivially_copyable_v<T>
  void write(T value) { store_le(take(sizeof(T)).data(), value); }
  void write(ConstBytes bytes) {
    if (!bytes.empty()) std::memcpy(take(bytes.size()).data(), bytes.data(), bytes.size());
  }
  // The next num_bytes of the buffer, for somebody else to fill.
  MutableBytes take(size_t num_bytes) {
    check(num_bytes <= bytes_.size() - offset_, "the buffer was sized for what is written");
    MutableBytes taken = bytes_.subspan(offset_, num_bytes);
    offset_ += num_bytes;
    return taken;
  }
  size_t offset() const { return offset_; }

 private:
  MutableBytes bytes_;
  size_t offset_ = 0;
};

}  // namespace thinwire
