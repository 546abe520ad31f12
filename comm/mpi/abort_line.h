// How one member of an MPI channel tells the others that it gives up: a communicator that carries nothing else. Internal to mpi.
#pragma once
#include <mpi.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace thinwire::comm {

class AbortLine {
 public:
  // Collective over the channel's communicator, which is duplicated.
  explicit AbortLine(MPI_Comm channel_comm);
  AbortLine(const AbortLine&) = delete;
  AbortLine& operator=(const AbortLine&) = delete;

  // From any thread, at most once. Waits a little for the notices to be under way, never for long.
  void tell_all(ExitCode code, std::string_view why);

  struct Notice {
    int from;  // index in the group
    ExitCode code;
    std::string why;
  };
  // By the polling thread: a notice that has arrived.
  std::optional<Notice> listen();

  // For a channel that ends in peace; otherwise the communicator is left to the end of the process.
  void free();

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

}  // namespace thinwire::comm
