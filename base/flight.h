// What the threads of a rank are at, and what they did last: a flight recorder for the day on which a run stands still.
//
// Each thread that works for a rank has a track: the operations that are under way, one within another, and the last kEnded that have
// ended. Noting one costs two looks at the clock and some stores; nothing is allocated, nothing waits. The record is a file in memory, so
// that other processes of its host can read it for as long as the process is there, also when that is stopped.
//
// The record is a property of the thread, like the log (base/log.h). Recorder's functions are thread-safe; a Scope is its thread's.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace thinwire::flight {

inline constexpr size_t kEnded = 128;  // operations of a track that are remembered
inline constexpr size_t kDepth = 8;    // operations within one another; deeper ones are not noted

enum class Kind : uint8_t { none, task, wire, wait, data, compute, optimizer, evaluation, checkpoint, encode, decode, plan };
std::string_view name_of(Kind kind);

// Times are microseconds since 1970, so that records of several hosts can be laid side by side as far as their clocks agree.
struct Event {
  Kind kind = Kind::none;
  std::string name;     // at most 47 characters, the last ones of a longer name
  int64_t number = -1;  // of a task: how many came before it in its lane; of others: of a bucket, a step, ...; negative: none
  int64_t step = 0;     // of training, when it began
  int64_t peer = -1;    // the rank at the other end; negative: none, or several
  uint64_t bytes = 0;
  int64_t begin_us = 0;
  int64_t end_us = 0;  // 0: under way

  std::string text() const;  // "encode model.norm.weight"
};

struct Track {
  std::string thread;  // "training", "bulk 1"
  int64_t thread_id = 0;
  std::vector<Event> open;   // the outermost first
  std::vector<Event> ended;  // the oldest first
  const Event* innermost() const { return open.empty() ? nullptr : &open.back(); }
};

struct Snapshot {
  int64_t rank = 0, process = 0, step = 0;
  std::string host;
  int64_t beat_us = 0;  // the last sign of life
  std::vector<Track> tracks;
  const Track* track(std::string_view thread) const;
  std::string text(int64_t now_us) const;  // all of it, for people
};

int64_t now_us();
// What keeps the rank from going on: what the training thread is at, or what that waits for; or what `thread` is at, if it is at anything.
// "encode ... for 12 s".
std::string doing(const Snapshot& snapshot, int64_t now_us, std::string_view thread = "training");
// A record in a file, which may be changing. CorruptData when there is none in it.
Snapshot read(const std::filesystem::path& path);
Snapshot parse(ConstBytes record, std::string_view source);

class Recorder {
 public:
  Recorder(int rank, size_t num_tracks);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Where other processes of this host can read() it: a path below /proc. Empty where the system has no files in memory.
  std::filesystem::path live_path() const;
  std::vector<std::byte> bytes() const;  // a copy, for parse()
  void set_step(int64_t step);
  void beat();
  // When some operation last began or ended, but for those of these threads.
  int64_t last_change_us(std::span<const std::string_view> but) const;
  Snapshot look() const;

 private:
  friend class Scope;
  friend class Pen;
  using Word = std::atomic<uint64_t>;
  Word* claim(std::string_view thread);  // a track of this thread alone; nullptr when none is free
  void release(Word* track);
  std::vector<uint64_t> copy() const;

  const size_t num_tracks_, num_bytes_;
  const int file_;  // in memory; -1: none
  Word* const words_;
  std::mutex mutex_;           // of claims
  std::vector<bool> claimed_;  // by track
};

std::shared_ptr<Recorder> current();  // null: nothing is noted
// This thread notes what it does there, under that name, until it ends or adopts another (null: none).
void adopt(std::shared_ptr<Recorder> recorder, std::string_view thread = {});

// An operation, under way for as long as this lives. What a thread begins last it ends first.
class Scope {
 public:
  explicit Scope(Kind kind, std::string_view name, int64_t number = -1, uint64_t bytes = 0, int64_t peer = -1);
  ~Scope() { end(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  void end(uint64_t bytes = 0);  // the first time; bytes: where they were not known before

 private:
  Recorder::Word* track_ = nullptr;
};

}  // namespace thinwire::flight
