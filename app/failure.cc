#include "app/failure.h"

#include "base/log.h"
#include "comm/rendezvous/environment.h"
#include "launch/failure.h"

namespace thinwire::app {

ExitCode tell(const Failure& failure) {
  log::error("{}", failure.why);
  if (const auto path = comm::environment_variable("TORCHELASTIC_ERROR_FILE")) launch::write_error_report(*path, failure.code, failure.why);
  return failure.code;
}

}  // namespace thinwire::app
