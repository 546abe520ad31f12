// A disk that lets one operation fail, or that stops the "process" there and then loses what was not synced.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/files.h"

namespace thinwire::checkpoint::testing {

struct Crash {};  // no std::exception: nothing in the product may catch it

enum class Fault {
  none,
  full,        // the operation fails with ENOSPC, later ones work
  killed,      // half of a write happens, nothing after it; what happened stays: kill -9
  data_lost,   // then files that were not fsynced are empty: power cut, the names were written before the data
  names_lost,  // then also names created, renamed or removed in directories that were not fsynced are as before
};

class UnreliableFiles : public Files {
 public:
  // `graveyard`: a directory on the same disk where removed files wait until their removal is durable.
  UnreliableFiles(Fault fault, int at_operation, std::filesystem::path graveyard);
  ~UnreliableFiles() override;
  int operations() const { return operations_; }
  void cut_power();  // now, with the fault's losses

  int create(const std::filesystem::path& path) override;
  void write(int file, ConstBytes bytes, const std::filesystem::path& path) override;
  void sync(int file, const std::filesystem::path& path) override;
  void close(int file, const std::filesystem::path& path) override;
  void make_directory(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove_file(const std::filesystem::path& path) override;
  void remove_directory(const std::filesystem::path& path) override;
  uint64_t free_bytes(const std::filesystem::path& directory) override;

 private:
  // A change of names that the next fsync of its directory makes durable. The directory is held open: it may itself be renamed.
  struct Change {
    enum class Kind { created, renamed, removed } kind;
    int directory;
    std::string name, from;          // renamed: from -> name
    std::filesystem::path previous;  // what the name stood for before, in the graveyard; empty: nothing
  };
  void before(const std::filesystem::path& path);
  void undo(const Change& change);
  void bury(const std::filesystem::path& path);
  void remember(Change::Kind kind, const std::filesystem::path& path, std::string from = "", std::filesystem::path previous = "");
  std::filesystem::path fresh_grave();

  Fault fault_;
  int at_operation_;
  int operations_ = 0;
  bool dead_ = false;
  std::filesystem::path graveyard_;
  int graves_ = 0;
  std::vector<Change> changes_;
  std::map<int, int> unsynced_;  // file -> a second descriptor of it
};

}  // namespace thinwire::checkpoint::testing
