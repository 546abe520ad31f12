#include "comm/grpc/connection.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grpc/support/log.h>

#include <cstdio>
#include <mutex>
#include <string_view>

#include "base/error.h"
#include "comm/rendezvous/environment.h"
#include "comm/rendezvous/interfaces.h"

namespace thinwire::comm {

namespace {
constexpr int kPingEvery_ms = 20'000, kPingTimeout_ms = 20'000;  // a host that lost power is noticed after both
constexpr int kLookahead_bytes = 4 << 20;                        // HTTP/2's own window, below that of frame.h

// gRPC tells standard error of every connection that it could not make; who wants that sets GRPC_VERBOSITY.
void quieten() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (environment_variable("GRPC_VERBOSITY")) return;
    gpr_set_log_function([](gpr_log_func_args* said) {
      if (std::string_view(said->message).starts_with("assertion failed"))
        std::fprintf(stderr, "gRPC: %s, %s:%d\n", said->message, said->file, said->line);
    });
  });
}
}  // namespace

std::shared_ptr<grpc::Channel> connect_to(const std::string& ip, int port) {
  quieten();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else channels to one address share a connection
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEvery_ms);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeout_ms);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookahead_bytes);
  const std::string scheme = ip.find(':') == std::string::npos ? "ipv4:" : "ipv6:";
  return grpc::CreateCustomChannel(scheme + with_port(ip, port), grpc::InsecureChannelCredentials(), arguments);
}

namespace {
// gRPC ties a service to the first server that tries, whether it can listen or not: so a port is tried by hand before.
int first_free(const std::string& ip, PortRange ports, const std::string& advice) {
  std::string first_why;
  for (int port = ports.first; port <= ports.last; ++port) {
    const std::string why = port == 0 ? "" : why_not_listen(ip, port);
    if (why.empty()) return port;
    if (first_why.empty()) first_why = why;
  }
  const std::string where =
      ports.first == ports.last ? with_port(ip, ports.first) : fmt::format("{} to {}", with_port(ip, ports.first), ports.last);
  throw CommError(fmt::format("cannot listen at {}: {}; {}. This host's interfaces are {}", where, first_why, advice,
                              fmt::join(network_interfaces(), ", ")));
}
}  // namespace

Served serve(grpc::CallbackGenericService& service, const std::string& ip, PortRange ports, const std::string& advice) {
  quieten();
  const int port = first_free(ip, ports, advice);
  Served served;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(with_port(ip, port), grpc::InsecureServerCredentials(), &served.port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // else two servers may share a port, and each gets half of the callers
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEvery_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeout_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingEvery_ms / 4);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookahead_bytes);
  builder.RegisterCallbackGenericService(&service);
  served.server = builder.BuildAndStart();
  if (served.server == nullptr || served.port == 0) {
    throw CommError(fmt::format("cannot listen at {}: somebody took it a moment ago; {}", with_port(ip, port), advice));
  }
  return served;
}

grpc::ByteBuffer to_buffer(ConstBytes bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return {&slice, 1};
}

std::vector<std::byte> to_bytes(grpc::ByteBuffer& buffer, size_t most_bytes) {
  if (buffer.Length() > most_bytes) throw CorruptData(fmt::format("{} bytes where at most {} may be", buffer.Length(), most_bytes));
  std::vector<grpc::Slice> slices;
  std::vector<std::byte> bytes;
  if (!buffer.Dump(&slices).ok()) throw CorruptData("bytes that gRPC cannot decompress");
  for (const auto& slice : slices) {
    const auto* begin = reinterpret_cast<const std::byte*>(slice.begin());
    bytes.insert(bytes.end(), begin, begin + slice.size());
  }
  return bytes;
}

}  // namespace thinwire::comm
