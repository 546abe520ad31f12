// What a checkpoint does to a disk, one operation at a time.
//
// Every change goes through a Files, so that a test can let any operation fail, or stop there as if the machine had died. Reading changes
// nothing and stays outside. All errors are CheckpointErrors with the path and the system's own words. No state: safe from any thread.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"

namespace thinwire::checkpoint {

struct FileSummary {  // what was written, for the manifest
  uint64_t bytes = 0;
  uint64_t hash = 0;  // XXH3-64 of the whole file
  bool operator==(const FileSummary&) const = default;
};

class Files {
 public:
  virtual ~Files() = default;
  virtual int create(const std::filesystem::path& path);  // a new file, open for writing; an existing one is an error
  virtual void write(int file, ConstBytes bytes, const std::filesystem::path& path);  // all of them
  // To the disk itself. A failure is final: the kernel reports it once and forgets, so the file must be thrown away, never synced again.
  virtual void sync(int file, const std::filesystem::path& path);
  virtual void close(int file, const std::filesystem::path& path);
  virtual void make_directory(const std::filesystem::path& path);
  virtual void sync_directory(const std::filesystem::path& path);  // names created, renamed and removed in it become durable
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to);
  virtual void remove_file(const std::filesystem::path& path);
  virtual void remove_directory(const std::filesystem::path& path);     // an empty one
  virtual uint64_t free_bytes(const std::filesystem::path& directory);  // for an unprivileged writer
};

// A new file that is hashed while it is written. Left unfinished, it is closed as it is and is the caller's to remove.
class NewFile {
 public:
  NewFile(Files& files, std::filesystem::path path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  void write(ConstBytes bytes);
  FileSummary finish();  // on the disk when this returns; the directory's entry for it is not

 private:
  Files& files_;
  std::filesystem::path path_;
  int file_;
  uint64_t bytes_ = 0;
  StreamingHash hash_;
};

FileSummary write_file(Files& files, const std::filesystem::path& path, std::string_view text);
// Readers see the old text or the new one, also after a power cut. `temporary` is a free name in the same directory.
void replace_file(Files& files, const std::filesystem::path& path, const std::filesystem::path& temporary, std::string_view text);
void make_directories(Files& files, const std::filesystem::path& path);  // durable; those that exist are fine
void remove_tree(Files& files, const std::filesystem::path& path);       // what is not there is fine; links are removed, not followed

// Open for reading, a regular file.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }
  // All of `into`, from `offset` on; a file that ends early is an error. Any thread.
  void read_at(uint64_t offset, MutableBytes into) const;

 private:
  std::filesystem::path path_;
  int file_;
  uint64_t size_ = 0;
};

std::string read_text(const std::filesystem::path& path, uint64_t max_bytes);
FileSummary hash_file(const InputFile& file);  // reads every byte, holds few

}  // namespace thinwire::checkpoint
