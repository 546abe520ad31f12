#include "trainer/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/output.h"

namespace thinwire::trainer {

namespace fs = std::filesystem;

RecordFile::RecordFile(fs::path path)
    : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (file_ < 0) throw output_error(path_, errno);
}

RecordFile::~RecordFile() {
  if (num_lost_ > 0) log::warn("{} ends here; {} record{} lost", path_.string(), num_lost_, num_lost_ == 1 ? " is" : "s are");
  ::close(file_);
}

bool RecordFile::append(std::string_view record) {
  if (const int error = write_record(record); error != 0) {
    if (num_lost_++ == 0)
      log::warn("{} cannot be written: {}; training goes on, and what it would hold is lost until there is room again", path_.string(),
                std::strerror(error));
    return false;
  }
  if (const int64_t lost = std::exchange(num_lost_, 0); lost > 0)
    log::warn("{} is written again; {} record{} lost", path_.string(), lost, lost == 1 ? " is" : "s are");
  return true;
}

int RecordFile::write_record(std::string_view record) {
  if (const int error = take_back(); error != 0) return error;
  struct stat facts {};
  if (::fstat(file_, &facts) != 0) return errno;
  const int error = write_whole(file_, bytes_of(record));
  if (error != 0) {
    torn_at_ = facts.st_size;
    take_back();
  }
  return error;
}

int RecordFile::take_back() {
  if (!torn_at_) return 0;
  if (::ftruncate(file_, *torn_at_) != 0) return errno;
  torn_at_.reset();
  return 0;
}

void take_out_half_line(const fs::path& path) {
  constexpr std::streamoff kBlock = 1 << 16;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return;
  const std::streamoff size = file.tellg();
  std::streamoff whole = size;  // what is there up to the last newline that was looked at
  for (std::string block; whole > 0 && !block.ends_with('\n');) {
    block.resize(static_cast<size_t>(std::min(kBlock, whole)));
    file.seekg(whole - std::ssize(block));
    if (!file.read(block.data(), std::ssize(block))) throw output_error(path, EIO);
    const size_t after = block.rfind('\n') + 1;  // 0: there is none
    whole -= std::ssize(block) - static_cast<std::streamoff>(after);
    block.resize(after);
  }
  if (whole == size) return;
  std::error_code failed;
  fs::resize_file(path, static_cast<uintmax_t>(whole), failed);
  if (failed) throw output_error(path, failed.value());
  log::warn("{} ended in half a line, of {} bytes, which is taken out", path.string(), size - whole);
}

}  // namespace thinwire::trainer
