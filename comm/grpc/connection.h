// How gRPC is used here: plain connections to literal addresses, watched by pings. Internal to comm.
#pragma once
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "comm/options.h"

namespace thinwire::comm {

// A TCP connection of its own, made when it is first used. `ip` is a literal.
std::shared_ptr<grpc::Channel> connect_to(const std::string& ip, int port);

struct Served {
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};
// Listens at the first port of the range that is free ({0, 0}: any). CommError names the address and why not. `ip` may be "::", which is
// every address of this host.
Served serve(grpc::CallbackGenericService& service, const std::string& ip, PortRange ports, const std::string& advice);

// One slice, copied.
grpc::ByteBuffer to_buffer(ConstBytes bytes);
// At most `most_bytes`; CorruptData when there are more.
std::vector<std::byte> to_bytes(grpc::ByteBuffer& buffer, size_t most_bytes);

}  // namespace thinwire::comm
