// Calls of MPI whose errors become exceptions. Internal to mpi.
#pragma once
#include <mpi.h>

#include <string>

#include "base/error.h"

namespace thinwire::comm {

inline std::string mpi_error_text(int error) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(error, text, &length);
  return {text, static_cast<size_t>(length)};
}

inline void require_mpi(int error, const char* call) {
  if (error != MPI_SUCCESS) throw CommError(std::string(call) + " failed: " + mpi_error_text(error));
}

// Set once any channel of this process was aborted or left in the middle: its requests may never end, so MPI cannot be finalized.
void mark_mpi_unclean();
bool mpi_is_unclean();

}  // namespace thinwire::comm
