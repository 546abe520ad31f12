// A file that grows by whole records, line by line or frame by frame: metrics.jsonl, TensorBoard's event files.
//
// A record that cannot be written whole, on a disk that is full, is taken back, so that what is appended later can be read. It is said once
// when records begin to be lost, and once when they are written again, or the file is closed, how many were. One thread.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace thinwire::trainer {

class RecordFile {
 public:
  explicit RecordFile(std::filesystem::path path);  // made where it is not there. Error(other) where it cannot be
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  bool append(std::string_view record);  // false: it is lost

 private:
  int write_record(std::string_view record);  // 0, or errno
  int take_back();

  std::filesystem::path path_;
  int file_;
  std::optional<off_t> torn_at_;  // where half a record begins that is still there
  int64_t num_lost_ = 0;          // since the last that was written
};

// Of a file of lines takes out what follows its last newline: a kill or a full disk has left half a line there. It need not exist.
void take_out_half_line(const std::filesystem::path& path);

}  // namespace thinwire::trainer
