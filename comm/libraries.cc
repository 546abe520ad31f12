#include "comm/libraries.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/version_info.h>
#include <mpi.h>

#include "base/cuda/module.h"
#include "comm/nccl/nccl.h"

namespace thinwire::comm {

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<size_t>(length));
  return all.substr(0, all.find_first_of(std::string("\n\0", 2)));
}

std::string grpc_library() {
  const std::string found = grpc::Version(), built = GRPC_CPP_VERSION_STRING;
  return found == built ? found : found + ", built with " + built;
}

std::string nccl_library() {
  if (!why_no_nccl().empty()) return "";
  return static_cast<const NcclLibrary*>(cuda::part("nccl"))->api->version();
}

}  // namespace thinwire::comm
