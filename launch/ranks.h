// The processes of one start: they are watched until all have ended. Internal to launch.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/failure.h"
#include "launch/output.h"
#include "launch/process.h"

namespace thinwire::launch {

// One process that is to be started: a rank, or the launcher of another host.
struct Seat {
  int rank = 0;  // or kLauncher
  std::string host;
  Command command;
  std::filesystem::path report;  // where it says why it failed; may be empty
  bool is_live = false;          // its output goes to the console
};

class Ranks {
 public:
  explicit Ranks(std::vector<Seat> seats);  // starts them; when one cannot be started, those before it are killed
  ~Ranks();                                 // kills what still runs
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  // Waits for at most that long for output, an end, or `wakes` to become readable; reads and reaps what there is.
  void attend(int timeout_ms, const std::vector<int>& wakes);
  void signal(int number);  // to all that run; a launcher of another host is told to stop instead, but by SIGKILL
  bool all_ended() const;
  bool any_failed() const;
  std::vector<End> ends() const;  // of those that have ended
  bool has(int rank) const;
  const std::deque<std::string>& last_lines(int rank) const;  // of one that there is
  void open_files(const std::filesystem::path& logs);         // rank_00003.out

 private:
  struct One {
    Seat seat;
    Process process;
    std::unique_ptr<Output> output;
    End end;
  };
  void read(One& one);
  void reap(One& one);
  std::vector<One> all_;
};

}  // namespace thinwire::launch
