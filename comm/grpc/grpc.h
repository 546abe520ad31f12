// gRPC: ranks that no MPI joins. One HTTP/2 stream for each pair of ranks and channel, over a TCP connection of its own.
//
// Ranks meet at rank 0's store (rendezvous/), learn each other's addresses and a secret, and stay joined by one more stream a pair for as
// long as they live: a process that ends without a word is noticed by all at once, and named. What travels on a stream, and what is
// refused: docs/formats/grpc.md. What was rejected: docs/decisions/013-grpc.md.
//
// Sends of up to 4 kB are copied and done at once. Longer ones are read from the caller's memory, in parts, as far as the receiver has
// room: 8 MiB ahead of what it has posted.
#pragma once
#include <memory>

#include "comm/options.h"
#include "comm/rendezvous/environment.h"
#include "comm/transport.h"

namespace thinwire::comm {

// Collective over the ranks of the environment. ConfigError when options or environment cannot be; CommError when ranks do not come within
// options.start_timeout_s, or cannot be reached.
std::unique_ptr<Transport> make_grpc_transport(const LaunchEnvironment& environment, const CommOptions& options);

// Where the ranks meet: what options.store says, else the launcher. ConfigError when neither does.
Meeting meeting_of(const LaunchEnvironment& environment, const GrpcOptions& options);

}  // namespace thinwire::comm
