// How long wires wait for a message, and who says what it means when that was in vain.
//
// One is shared by the wires of a driver. Thread-safe.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"

namespace thinwire::comm {

// An operation that is over its deadline.
struct Stuck {
  std::string what, purpose;  // "all_gather", "exchange of bucket 2"
  std::vector<int> missing;   // ranks of the world whose part has not come
  double waited_s = 0;
  bool messages_pass = false;  // from them, too: they are at work on a disk, and do not come to an end

  std::string text() const;  // "no message from rank 2 for 60 s in all_gather (exchange of bucket 2)"
};

struct Diagnosis {
  ExitCode code = ExitCode::no_progress;
  std::string why;  // for people: of the error, on all ranks
};

class Patience {
 public:
  using Report = std::function<Diagnosis(const Stuck&)>;

  explicit Patience(double timeout_s) : timeout_s_(timeout_s) {}
  double timeout_s() const { return timeout_s_.load(std::memory_order_relaxed); }
  void set_timeout_s(double timeout_s) { timeout_s_.store(timeout_s, std::memory_order_relaxed); }
  // For what ranks do at the same time beside the wire, on disks, while they tell each other that they are still at it.
  double disk_timeout_s() const { return disk_timeout_s_.load(std::memory_order_relaxed); }
  void set_disk_timeout_s(double timeout_s) { disk_timeout_s_.store(timeout_s, std::memory_order_relaxed); }

  // `report` is called on the thread of the wire that waits, before anybody is told. Without one, Stuck::text() has to do.
  void report_by(Report report);
  Diagnosis judge(const Stuck& stuck) const;

 private:
  std::atomic<double> timeout_s_;
  std::atomic<double> disk_timeout_s_ = 1800;
  mutable std::mutex mutex_;
  Report report_;
};

}  // namespace thinwire::comm
