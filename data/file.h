// Regular files into memory. Every failure is a DataError with the path, the reason and the fix; sizes that the file system or a packed
// file states are never trusted with an allocation beyond the caller's limit.
#pragma once
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace thinwire::data {

// One file, read front to back. Not for several threads at once.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);  // must be a regular file that this user may read
  size_t read(std::span<uint8_t> into);            // bytes read; fewer than asked for only at the end
  const std::filesystem::path& path() const { return path_; }
  int64_t offset() const { return offset_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  int64_t offset_ = 0;
};

// What collects the bytes of several files, up to a limit.
struct Pile {
  std::vector<uint8_t> bytes;
  int64_t max_bytes;
  std::function<void(size_t num_bytes)> listener = {};                         // told of each piece how many there are now
  void add(std::span<const uint8_t> more, const std::filesystem::path& from);  // DataError when it grows beyond max_bytes
};

bool has_gzip_name(const std::filesystem::path& path);         // .gz, or .dz as dictzip calls it
void add_file(const std::filesystem::path& path, Pile& pile);  // unpacked if its name says gzip; DataError if there is nothing in it

}  // namespace thinwire::data
