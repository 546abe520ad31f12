// What transports are made of, as this process finds it: for people.
#pragma once
#include <string>

namespace thinwire::comm {

std::string mpi_library();   // "Open MPI v4.1.4, package: ..."; needs no MPI_Init
std::string grpc_library();  // "1.51.1"; both versions where it is not the one that this was built with
std::string nccl_library();  // "2.28.9"; empty where why_no_nccl() says why

}  // namespace thinwire::comm
