// Errors that a user can meet, each with the exit code that the process ends with (docs/exit_codes.md).
//
// Everything that can go wrong because of the outside world is an Error: what, where, why and the fix, in one message.
// A broken invariant of our own is not: that is check() in base/check.h.
#pragma once
#include <exception>
#include <stdexcept>
#include <string>

namespace thinwire {

enum class ExitCode : int {
  ok = 0,
  other = 1,
  usage = 2,        // command line or configuration
  data = 3,         // training data missing or corrupt
  checkpoint = 4,   // checkpoint missing, corrupt or incompatible, or the last save failed
  comm = 5,         // rendezvous or transport
  no_progress = 6,  // watchdog
  non_finite = 7,   // NaN or Inf in loss, gradients or parameters
  out_of_memory = 8,
  requeue = 75,  // stopped by a signal after a good checkpoint
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

struct ConfigError : Error {
  explicit ConfigError(const std::string& message) : Error(ExitCode::usage, message) {}
};
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(ExitCode::data, message) {}
};
struct CheckpointError : Error {
  explicit CheckpointError(const std::string& message) : Error(ExitCode::checkpoint, message) {}
};
// A peer is gone, late or talks nonsense. The channel is dead afterwards: rebuild the group or end the run.
// A failure that another rank announced keeps that rank's exit code, so that the whole job ends with one code.
struct CommError : Error {
  explicit CommError(const std::string& message, ExitCode code = ExitCode::comm) : Error(code, message) {}
};
struct NonFiniteError : Error {
  explicit NonFiniteError(const std::string& message) : Error(ExitCode::non_finite, message) {}
};
// Bytes from the wire or a file do not parse. Whoever knows where they came from turns this into one of the above.
struct CorruptData : Error {
  explicit CorruptData(const std::string& message) : Error(ExitCode::data, message) {}
};

// What an exception means for the run or the process that ends because of it, whatever library it is from.
struct Failure {
  ExitCode code = ExitCode::other;
  std::string why;  // for people
};
// Memory that was not to be had is out_of_memory, also where LibTorch says so, which has words for it, but no type. Not for null.
Failure failure_of(const std::exception_ptr& error);

}  // namespace thinwire
