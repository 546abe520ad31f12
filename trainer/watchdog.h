// Finds out that a run stands still, says who does, and ends what cannot end by itself.
//
// - A wait on the wire that is over its deadline: the driver's lane asks here what it means. The first rank to find it out writes down what
//   every rank did last (evidence.h); its report becomes everybody's error, with exit code 6. Before there is a run directory, ranks are
//   missing at the start: exit code 5.
// - A rank of which nothing has begun or ended for stall_timeout_s, once the first step is done: the same, found by its own watchdog.
// - A rank that is to go down, because it or another one has failed, and does not: after kLeaving_s its process is ended.
//
// While it lives, the rank's flight record shows ten signs of life a second. Threads: a training thread calls everything but report(),
// which is the lanes'.
#pragma once
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/flight.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/driver.h"
#include "trainer/evidence.h"

namespace thinwire::trainer {

struct Deadlines {
  double start_timeout_s = 300;  // for a message, until the first step is done
  double timeout_s = 60;         // afterwards
  double disk_timeout_s = 1800;  // for a part of a save or a load
  double stall_timeout_s = 600;  // for anything at all; 0: none
};

class Watchdog {
 public:
  static constexpr double kLeaving_s = 5;
  using EndProcess = std::function<void(ExitCode, const std::string& why)>;  // does not return

  Watchdog(std::shared_ptr<flight::Recorder> record, EndProcess end_process);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // From here to its end the driver is watched; the watchdog must outlive the driver.
  class Watch {
   public:
    Watch(Watchdog& watchdog, comm::Driver& driver, const Deadlines& deadlines) : watchdog_(watchdog) {
      watchdog_.begin(driver, deadlines);
    }
    ~Watch() { watchdog_.end(); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Watchdog& watchdog_;
  };

  void use_directory(const std::filesystem::path& run_directory);  // of the run: all ranks are there
  void begin_step(int64_t step) { record_->set_step(step); }
  void first_step_is_done();
  void last_step_is_done() { first_step_is_done_ = false; }  // what is still to come, a sample, may take its time
  void failed(ExitCode code, const std::string& why);        // this rank goes down

 private:
  struct Failure {
    ExitCode code;
    std::string why;
    Stopwatch since;
  };
  void begin(comm::Driver& driver, const Deadlines& deadlines);
  void end();
  comm::Diagnosis report(const comm::Stuck& stuck);
  comm::Diagnosis tell(Evidence::Explain explain);
  void run();
  void listen();  // to the peers, and to the own record
  bool stalls(double idle_s) const;

  const std::shared_ptr<flight::Recorder> record_;
  const EndProcess end_process_;
  const std::shared_ptr<log::RankLog> log_;
  std::mutex mutex_;  // of all below
  std::condition_variable stops_;
  bool is_over_ = false;
  comm::Driver* driver_ = nullptr;
  int rank_ = 0, world_ = 1;  // do not change once there is a driver
  Deadlines deadlines_;
  std::atomic<bool> first_step_is_done_ = false;
  std::optional<Failure> failure_;
  Stopwatch since_copy_;
  std::mutex report_mutex_;  // of these
  std::unique_ptr<Evidence> evidence_;
  std::optional<comm::Diagnosis> told_;
  std::thread thread_;
};

}  // namespace thinwire::trainer
