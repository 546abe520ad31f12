// A disk that notes what is done to it, and the states in which a power cut may leave it.
//
// What is certain is what POSIX says: the bytes of a file that was fsynced, and the names in a directory that was fsynced since they
// changed. Of everything else any part may have reached the disk, in any order: of each file not one byte since its last fsync, some, all,
// or its length with zeros for bytes; of the changes of names any of them, so that a later one may be there and an earlier one not. Each
// rename is atomic.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/files.h"

namespace thinwire::checkpoint::testing {

// What a directory holds, by path within it: the bytes of a file, nullopt for a directory.
using Tree = std::map<std::string, std::optional<std::string>>;
void make_tree(const std::filesystem::path& root, const Tree& tree);  // in an empty directory

class NotedDisk : public Files {
 public:
  explicit NotedDisk(const std::filesystem::path& root);  // a directory; what it holds by now is certain

  size_t num_operations() const { return operations_.size(); }  // that succeeded
  // The n-th attempt, counted from 1, fails with ENOSPC.
  void fail_at(size_t attempt) { failing_attempt_ = attempt; }
  bool has_failed() const { return failing_attempt_ > 0 && attempts_ >= failing_attempt_; }
  // After a power cut behind the first `num_operations`: all states if there are at most `most` choices, else so many that the seed picks.
  std::set<Tree> states_after(size_t num_operations, size_t most, uint64_t seed) const;

  int create(const std::filesystem::path& path) override;
  void write(int file, ConstBytes bytes, const std::filesystem::path& path) override;
  void sync(int file, const std::filesystem::path& path) override;
  void make_directory(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove_file(const std::filesystem::path& path) override;
  void remove_directory(const std::filesystem::path& path) override;

 private:
  using Inode = size_t;
  using Names = std::map<std::string, Inode>;
  struct Change {                // of names in one directory; what a name stood for before is let go
    std::string removed, added;  // either may be empty
    Inode inode = 0;             // of what is added
    void apply(Names& names) const;
  };
  struct Operation {
    enum class Kind { change, write, sync_file, sync_directory } kind;
    Inode inode;  // of the file, or of the directory
    Change change;
    std::string bytes;
  };
  struct Node {
    bool is_directory = false;
    std::string certain, content;  // of a file: as last fsynced, as written
    Names names;                   // of a directory: as last fsynced
    std::vector<Change> changes;   // since
  };
  using Nodes = std::vector<Node>;
  // One of the states: for each node which of its uncertain things are there.
  using Choice = std::vector<uint64_t>;

  void attempt(const std::filesystem::path& path);
  void note(Operation operation);
  Inode inode_of(const std::filesystem::path& path) const;
  Inode directory_of(const std::filesystem::path& path) const { return inode_of(path.parent_path()); }
  Inode load(const std::filesystem::path& path);
  static void apply(Nodes& nodes, const Operation& operation);
  static uint64_t num_choices(const Node& node);
  static void add_to(Tree& tree, const Nodes& nodes, const Choice& choice, Inode inode, const std::string& path);

  size_t attempts_ = 0, failing_attempt_ = 0;
  std::filesystem::path root_;
  Nodes initial_;              // inode 0: the root
  std::vector<Names> now_;     // of each inode, as the running program sees it
  std::map<int, Inode> open_;  // by descriptor
  std::vector<Operation> operations_;
};

}  // namespace thinwire::checkpoint::testing
