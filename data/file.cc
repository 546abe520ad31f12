#include "data/file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/text.h"
#include "data/gzip.h"

namespace thinwire::data {
namespace fs = std::filesystem;
namespace {

constexpr size_t kCopiedBytes = 1 << 18;

// Asked before opening: opening a directory works and reading a pipe waits for ever.
void require_regular(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    throw DataError(fmt::format("'{}' does not exist{}: correct the path", path.string(),
                                fs::is_symlink(fs::symlink_status(path, error)) ? " (a link that leads nowhere)" : ""));
  }
  if (error) throw DataError(fmt::format("'{}' cannot be reached: {}", path.string(), error.message()));
  if (fs::is_directory(status)) {
    throw DataError(
        fmt::format("'{}' is a directory, not a file: name the files in it, such as '{}'", path.string(), (path / "*.txt").string()));
  }
  if (!fs::is_regular_file(status)) {
    throw DataError(fmt::format("'{}' is neither a file nor a link to one: copy its data into a file", path.string()));
  }
}

}  // namespace

InputFile::InputFile(fs::path path) : path_(std::move(path)) {
  require_regular(path_);
  file_.reset(std::fopen(path_.c_str(), "rbe"));
  if (!file_) throw DataError(fmt::format("'{}' cannot be opened: {}", path_.string(), std::strerror(errno)));
}

size_t InputFile::read(std::span<uint8_t> into) {
  const size_t num_read = std::fread(into.data(), 1, into.size(), file_.get());
  if (num_read < into.size() && std::ferror(file_.get()) != 0) {
    throw DataError(
        fmt::format("'{}' cannot be read at byte {}: {}", path_.string(), offset_ + static_cast<int64_t>(num_read), std::strerror(errno)));
  }
  offset_ += static_cast<int64_t>(num_read);
  return num_read;
}

void Pile::add(std::span<const uint8_t> more, const fs::path& from) {
  if (more.size() > static_cast<size_t>(max_bytes) - bytes.size()) {
    throw DataError(fmt::format("'{}' brings the corpus beyond {}, the most that is held in memory: give fewer or smaller files",
                                from.string(), human_bytes(static_cast<double>(max_bytes))));
  }
  bytes.insert(bytes.end(), more.begin(), more.end());
  if (listener) listener(bytes.size());
}

bool has_gzip_name(const fs::path& path) { return path.extension() == ".gz" || path.extension() == ".dz"; }

void add_file(const fs::path& path, Pile& pile) {
  InputFile file(path);
  const size_t before = pile.bytes.size();
  if (has_gzip_name(path)) {
    add_unpacked(file, pile);
  } else {
    std::vector<uint8_t> piece(kCopiedBytes);
    while (const size_t num_read = file.read(piece)) pile.add(std::span(piece).first(num_read), path);
  }
  if (pile.bytes.size() == before) throw DataError(fmt::format("'{}' is empty: leave it out, or put text into it", path.string()));
}

}  // namespace thinwire::data
