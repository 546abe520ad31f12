// What is kept of a rank's flight record on the disk, and what is written down about a hang: in the run directory, which all hosts share.
//
//   flight/rank_00002.live   the path of the record itself, for processes of the same host
//   flight/rank_00002.bin    a copy, some seconds old: for other hosts, and for when the process is gone
//   hang/1/report.txt        who stood still; hang/1/rank_00002.txt: what that rank did last. 2, 3, ...: of later starts
//
// The disk may be what hangs: so nothing here waits for it for long. Work on it goes on threads that are let go.
#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/flight.h"

namespace thinwire::trainer {

class Evidence {
 public:
  using Records = std::vector<std::optional<flight::Snapshot>>;  // by rank; nothing where none can be read

  // Of the rank that `record` is of, among `world`. All ranks are in this directory.
  Evidence(std::filesystem::path run_directory, std::shared_ptr<const flight::Recorder> record, int rank, int world);
  ~Evidence();  // waits a moment for a copy under way
  Evidence(const Evidence&) = delete;
  Evidence& operator=(const Evidence&) = delete;

  void copy_record();  // returns at once; nothing happens while the copy before is under way

  using Explain = std::function<std::string(const Records&)>;
  // Reads all records, and writes down what `explain` says and what every rank did last. Returns what is to be told; when another rank was
  // first, what that says. Nothing when the disk does not answer.
  std::optional<std::string> publish(Explain explain) const;
  void add_own_record() const;  // to what another rank has written, if it could not

 private:
  struct Place;
  std::shared_ptr<const Place> place_;  // shared with threads that were let go
  std::shared_ptr<std::atomic<bool>> is_copying_;
};

}  // namespace thinwire::trainer
