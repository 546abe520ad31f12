// Hosts of the laboratory: network namespaces, each with one interface whose other end is a descriptor of ours (a TUN device).
//
// Namespaces have no name and no file: they exist while a descriptor or a process holds them, so the kernel removes them however we end.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace thinwire::netlab {

// This machine cannot do it: no rights, no TUN device. The program ends with kSkipped, which automake and CTest know.
constexpr int kSkipped = 77;
struct Unavailable : Error {
  explicit Unavailable(const std::string& why) : Error(static_cast<ExitCode>(kSkipped), why) {}
};

class Descriptor {  // closed at the end; close-on-exec is up to whoever opened it
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int get() const { return fd_; }
  void close() { const Descriptor old = std::move(*this); }

 private:
  int fd_;
};

constexpr const char* kInterface = "wire0";

struct Host {
  std::string name;     // "host0": its host name
  std::string address;  // IPv4, in a /24 that all hosts share
  Descriptor network;   // the namespace
  Descriptor packets;   // non-blocking: a read takes an IP packet that the host sent, a write gives it one
};

// What precedes each IP packet on `packets`: nothing, or the header by which kernels hand over segments that are still to be cut and
// checksums that are still to be computed. With it up to 64 KiB of TCP pass as one "packet".
enum class Segmentation { none, offloaded };
constexpr size_t kOffloadHeaderBytes = 10;  // struct virtio_net_hdr

// What becomes of a packet on the wire: its segments, each with the headers of its own, and their bytes together.
struct OnWire {
  size_t segments = 1, bytes = 0;
};
// `packet`: as it is read, with what precedes it; at least an IP header long.
OnWire on_wire(std::span<const std::byte> packet, Segmentation segmentation);

constexpr int kMaxHosts = 200;

// Unavailable says what is missing. The calling thread is in its own namespace again afterwards.
std::vector<Host> make_hosts(int num_hosts, int mtu_bytes, Segmentation segmentation);

// Which host has this IPv4 destination; -1: none.
int host_of_packet(const std::byte* ip_packet, size_t num_bytes, size_t num_hosts);

void enter(int network_fd, const std::string& host_name);  // the calling thread, and what it starts

}  // namespace thinwire::netlab
