#include "checkpoint/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/output.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* action, const fs::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw CheckpointError(fmt::format("cannot {} {}: {}{}", action, path.string(), std::generic_category().message(error),
                                    full ? " (free some space there)" : ""));
}

int open_retrying(const fs::path& path, int flags, mode_t mode = 0) {
  int file;
  do file = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (file < 0 && errno == EINTR);
  return file;
}

}  // namespace

int Files::create(const fs::path& path) {
  const int file = open_retrying(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (file < 0) fail("create", path, errno);
  return file;
}

void Files::write(int file, ConstBytes bytes, const fs::path& path) {
  if (const int error = write_whole(file, bytes); error != 0) fail("write", path, error);
}

void Files::sync(int file, const fs::path& path) {
  if (::fsync(file) != 0) fail("bring to the disk", path, errno);
}

void Files::close(int file, const fs::path& path) {
  if (::close(file) != 0 && errno != EINTR) fail("close", path, errno);  // on EINTR Linux has closed it
}

void Files::make_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) != 0) fail("create the directory", path, errno);
}

void Files::sync_directory(const fs::path& path) {
  const int directory = open_retrying(path, O_RDONLY | O_DIRECTORY);
  if (directory < 0) fail("open the directory", path, errno);
  const int error = ::fsync(directory) == 0 ? 0 : errno;
  ::close(directory);
  if (error != 0) fail("bring to the disk", path, error);
}

void Files::rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    fail(fmt::format("rename {} to", from.string()).c_str(), to, error);
  }
}

void Files::remove_file(const fs::path& path) {
  if (::unlink(path.c_str()) != 0) fail("remove", path, errno);
}

void Files::remove_directory(const fs::path& path) {
  if (::rmdir(path.c_str()) != 0) fail("remove the directory", path, errno);
}

uint64_t Files::free_bytes(const fs::path& directory) {
  struct statvfs facts {};
  if (::statvfs(directory.c_str(), &facts) != 0) fail("ask for the free space of", directory, errno);
  return uint64_t{facts.f_bavail} * facts.f_frsize;
}

NewFile::NewFile(Files& files, fs::path path) : files_(files), path_(std::move(path)), file_(files_.create(path_)) {}

NewFile::~NewFile() {
  if (file_ >= 0) ::close(file_);
}

void NewFile::write(ConstBytes bytes) {
  if (bytes.empty()) return;
  files_.write(file_, bytes, path_);
  hash_.update(bytes);
  bytes_ += bytes.size();
}

FileSummary NewFile::finish() {
  files_.sync(file_, path_);
  files_.close(std::exchange(file_, -1), path_);
  return {bytes_, hash_.digest()};
}

FileSummary write_file(Files& files, const fs::path& path, std::string_view text) {
  NewFile file(files, path);
  file.write(bytes_of(text));
  return file.finish();
}

void replace_file(Files& files, const fs::path& path, const fs::path& temporary, std::string_view text) {
  write_file(files, temporary, text);
  files.rename(temporary, path);
  files.sync_directory(path.parent_path());
}

void make_directories(Files& files, const fs::path& path) {
  std::error_code ignored;
  if (path.empty() || fs::is_directory(path, ignored)) return;
  const fs::path parent = path.parent_path();
  make_directories(files, parent);
  files.make_directory(path);
  files.sync_directory(parent.empty() ? fs::path(".") : parent);
}

void remove_tree(Files& files, const fs::path& path) {
  const fs::file_status status = fs::symlink_status(path);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) return files.remove_file(path);
  std::vector<fs::path> children;  // listed before removing: what a listing shows while it is changed is unspecified
  for (const auto& entry : fs::directory_iterator(path)) children.push_back(entry.path());
  std::sort(children.begin(), children.end());
  for (const fs::path& child : children) remove_tree(files, child);
  files.remove_directory(path);
}

InputFile::InputFile(fs::path path) : path_(std::move(path)), file_(open_retrying(path_, O_RDONLY | O_NONBLOCK)) {
  if (file_ < 0) fail("open", path_, errno);
  struct stat facts {};
  const int error = ::fstat(file_, &facts) == 0 ? 0 : errno;
  if (error == 0 && S_ISREG(facts.st_mode)) {
    size_ = static_cast<uint64_t>(facts.st_size);
    return;
  }
  ::close(file_);
  if (error != 0) fail("open", path_, error);
  throw CheckpointError(fmt::format("cannot read {}: it is not a regular file", path_.string()));
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (file_ >= 0) ::close(file_);
}

void InputFile::read_at(uint64_t offset, MutableBytes into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(file_, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path_, errno);
    if (got == 0) throw CheckpointError(fmt::format("{} ended while it was read: somebody else is changing it", path_.string()));
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

std::string read_text(const fs::path& path, uint64_t max_bytes) {
  InputFile file(path);
  if (file.size() > max_bytes) {
    throw CheckpointError(fmt::format("{} has {} bytes; at most {} make sense for it", path.string(), file.size(), max_bytes));
  }
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

FileSummary hash_file(const InputFile& file) {
  std::vector<std::byte> chunk(std::min<uint64_t>(file.size(), 1 << 20));
  StreamingHash hash;
  for (uint64_t at = 0; at < file.size(); at += chunk.size()) {
    const MutableBytes part = std::span(chunk).first(std::min<uint64_t>(file.size() - at, chunk.size()));
    file.read_at(at, part);
    hash.update(part);
  }
  return {file.size(), hash.digest()};
}

}  // namespace thinwire::checkpoint
