#include "base/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace thinwire {

namespace fs = std::filesystem;

namespace {

const char* fix_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return "free some space there, or write elsewhere";
    case EACCES:
    case EPERM:
    case EROFS: return "write where this user may";
    default: return "write elsewhere";
  }
}

void make_folders(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw output_error(folder, failed.value());
}

}  // namespace

Error output_error(const fs::path& path, int error) {
  return {ExitCode::other, fmt::format("cannot write {}: {}; {}", path.string(), std::strerror(error), fix_of(error))};
}

int write_whole(int file, ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return 0;
}

OutputFile::OutputFile(const fs::path& path, fs::path named)
    : named_(named.empty() ? path : std::move(named)), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
  if (file_ < 0) throw output_error(named_, errno);
}

OutputFile::~OutputFile() {
  if (file_ >= 0) ::close(file_);
}

void OutputFile::write(ConstBytes bytes) {
  if (const int error = write_whole(file_, bytes); error != 0) throw output_error(named_, error);
}

void OutputFile::close() {
  if (::close(std::exchange(file_, -1)) != 0 && errno != EINTR) throw output_error(named_, errno);  // on EINTR Linux has closed it
}

NewFolders::NewFolders(fs::path folder) {
  std::error_code unreadable;
  for (folder = fs::absolute(folder); !fs::exists(folder, unreadable) && folder.has_relative_path(); folder = folder.parent_path())
    paths_.push_back(folder);
}

NewFolders::~NewFolders() {
  for (const fs::path& path : paths_) ::rmdir(path.c_str());  // which takes none that holds something
}

void write_text(const fs::path& path, std::string_view content) {
  const NewFolders above(fs::absolute(path).parent_path());
  make_folders(fs::absolute(path).parent_path());
  const fs::path temporary = path.string() + ".tmp";
  try {
    OutputFile file(temporary, path);
    file.write(bytes_of(content));
    file.close();
    std::error_code failed;
    fs::rename(temporary, path, failed);
    if (failed) throw output_error(path, failed.value());
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void write_folder(const fs::path& given, const std::function<void(const fs::path& temporary)>& fill) {
  const fs::path folder = fs::absolute(given.has_filename() ? given : given.parent_path());
  const NewFolders above(folder.parent_path());
  make_folders(folder.parent_path());
  const fs::path temporary = folder.parent_path() / fmt::format(".{}.tmp-{}", folder.filename().string(), getpid());
  std::error_code failed;
  if (!fs::create_directory(temporary, failed)) throw output_error(temporary, failed ? failed.value() : EEXIST);
  try {
    fill(temporary);
    fs::rename(temporary, folder, failed);
    if (failed) throw output_error(folder, failed.value());
  } catch (...) {
    fs::remove_all(temporary, failed);
    throw;
  }
}

}  // namespace thinwire
