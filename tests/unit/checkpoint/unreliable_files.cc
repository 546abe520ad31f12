#include "unreliable_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace thinwire::checkpoint::testing {
namespace {
namespace fs = std::filesystem;

ino_t inode_of(int file) {
  struct stat facts {};
  fstat(file, &facts);
  return facts.st_ino;
}

fs::path within(int directory, const std::string& name) { return fs::path("/proc/self/fd") / std::to_string(directory) / name; }
}  // namespace

UnreliableFiles::UnreliableFiles(Fault fault, int at_operation, fs::path graveyard)
    : fault_(fault), at_operation_(at_operation), graveyard_(std::move(graveyard)) {
  fs::create_directories(graveyard_);
}

UnreliableFiles::~UnreliableFiles() {
  for (const Change& change : changes_) ::close(change.directory);
  for (const auto& [file, copy] : unsynced_) ::close(copy);
}

void UnreliableFiles::before(const fs::path& path) {
  if (dead_) throw Crash{};
  if (++operations_ != at_operation_ || fault_ == Fault::none) return;
  if (fault_ == Fault::full) throw CheckpointError("cannot touch " + path.string() + ": No space left on device");
  cut_power();
  throw Crash{};
}

void UnreliableFiles::cut_power() {
  dead_ = true;
  if (fault_ == Fault::data_lost || fault_ == Fault::names_lost) {
    for (const auto& [file, copy] : unsynced_)
      if (ftruncate(copy, 0) != 0) std::abort();
  }
  if (fault_ == Fault::names_lost) {
    for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) undo(*change);
  }
}

void UnreliableFiles::undo(const Change& change) {
  const fs::path path = within(change.directory, change.name);
  if (change.kind == Change::Kind::created) fs::remove_all(path);
  if (change.kind == Change::Kind::renamed) fs::rename(path, within(change.directory, change.from));
  if (!change.previous.empty()) fs::rename(change.previous, path);
}

void UnreliableFiles::remember(Change::Kind kind, const fs::path& path, std::string from, fs::path previous) {
  const int directory = ::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  changes_.push_back({kind, directory, path.filename().string(), std::move(from), std::move(previous)});
}

fs::path UnreliableFiles::fresh_grave() { return graveyard_ / std::to_string(++graves_); }

int UnreliableFiles::create(const fs::path& path) {
  before(path);
  const int file = Files::create(path);
  const auto [place, fresh] = unsynced_.try_emplace(file, -1);
  if (!fresh) ::close(place->second);  // its number was free again: it was given up unsynced
  place->second = dup(file);
  remember(Change::Kind::created, path);
  return file;
}

void UnreliableFiles::write(int file, ConstBytes bytes, const fs::path& path) {
  if (operations_ + 1 == at_operation_ && fault_ != Fault::none && !dead_) Files::write(file, bytes.first(bytes.size() / 2), path);
  before(path);
  Files::write(file, bytes, path);
}

void UnreliableFiles::sync(int file, const fs::path& path) {
  before(path);
  const auto found = unsynced_.find(file);
  ::close(found->second);
  unsynced_.erase(found);
}

void UnreliableFiles::close(int file, const fs::path& path) {
  before(path);
  Files::close(file, path);
}

void UnreliableFiles::make_directory(const fs::path& path) {
  before(path);
  Files::make_directory(path);
  remember(Change::Kind::created, path);
}

void UnreliableFiles::sync_directory(const fs::path& path) {
  before(path);
  const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const ino_t inode = inode_of(directory);
  ::close(directory);
  std::erase_if(changes_, [&](const Change& change) {
    const bool durable = inode_of(change.directory) == inode;
    if (durable) ::close(change.directory);
    return durable;
  });
}

void UnreliableFiles::rename(const fs::path& from, const fs::path& to) {
  before(to);
  fs::path previous;
  if (fs::is_regular_file(to)) fs::create_hard_link(to, previous = fresh_grave());
  Files::rename(from, to);
  remember(Change::Kind::renamed, to, from.filename().string(), previous);
}

void UnreliableFiles::remove_file(const fs::path& path) {
  before(path);
  bury(path);
}

void UnreliableFiles::remove_directory(const fs::path& path) {
  before(path);
  if (!fs::is_empty(path)) return Files::remove_directory(path);  // which fails
  bury(path);
}

void UnreliableFiles::bury(const fs::path& path) {
  const fs::path grave = fresh_grave();
  fs::rename(path, grave);
  remember(Change::Kind::removed, path, "", grave);
}

uint64_t UnreliableFiles::free_bytes(const fs::path& directory) {
  before(directory);
  return Files::free_bytes(directory);
}

}  // namespace thinwire::checkpoint::testing
