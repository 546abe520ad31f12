#include "app/failure.h"

#include "base/log.h"
#include "comm/rendezvous/environment.h"
#include "launch/failure.h"

namespace thinwire::app {

namespace {
ExitCode note_for_launcher(const Failure& failure) {
  if (const auto path = comm::environment_variable("TORCHELASTIC_ERROR_FILE")) launch::write_error_report(*path, failure.code, failure.why);
  return failure.code;
}
}  // namespace

ExitCode tell(const Failure& failure) {
  log::error("{}", failure.why);
  return note_for_launcher(failure);
}

ExitCode tell_once(const Failure& failure) {
  if (log::rank() == 0) return tell(failure);
  log::info("{}", failure.why);
  return note_for_launcher(failure);
}

}  // namespace thinwire::app
