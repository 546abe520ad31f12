// A process tree that cannot outlive us: it runs in a PID namespace of its own, whose first process the kernel kills when we end, however
// we end; and with that one goes everything in the namespace.
//
// The first process has a mount namespace with a /proc of its own, starts what is to be run in a session of its own (Ctrl+C reaches us
// alone), passes signals on to it, collects orphans, and ends with its code. One thread; SIGCHLD and the signals below are blocked from
// construction on, and arrive by signals().
#pragma once
#include <sys/types.h>

#include <functional>
#include <optional>

#include "tools/netlab/hosts.h"
#include "tools/netlab/line.h"

namespace thinwire::netlab {

constexpr int kTimedOut = 124;                    // as timeout(1)
constexpr std::chrono::seconds kGrace{10};        // from the first signal that ends to SIGKILL
constexpr const char* kFirstProcess = "/proc/1";  // seen from within; it has our descriptors and our program

class Job {
 public:
  // `body` runs in the new tree and returns its exit code, or becomes another program. Without a deadline it may run for ever.
  Job(const std::function<int()>& body, std::optional<Time> deadline);
  Job(Job&&) = delete;
  ~Job();  // kills what still runs

  int signals() const { return signals_.get(); }  // readable: call collect()
  // Passes on INT, TERM, HUP, QUIT, USR1 and USR2, and sees whether the job has ended. The exit code once it has: the body's, 128 + signal
  // when one ended it, kTimedOut when the deadline did.
  std::optional<int> collect(Time now);
  void keep_deadlines(Time now);  // asks it to end, later makes it
  std::optional<Time> next_deadline() const { return kill_at_ ? kill_at_ : deadline_; }

 private:
  void pass_on(int signal, Time now);

  Descriptor signals_;
  Descriptor life_;  // nothing is written to it: its other end sees when we are gone
  pid_t first_process_ = -1;
  std::optional<Time> deadline_, kill_at_;
  bool timed_out_ = false;
};

}  // namespace thinwire::netlab
