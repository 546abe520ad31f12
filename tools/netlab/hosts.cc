#include "tools/netlab/hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace thinwire::netlab {

namespace {
constexpr uint32_t kNetwork = 0x0a000000, kNetmask = 0xffffff00;  // 10.0.0.0/24; no host has a way out of it
constexpr int kSendQueuePackets =
    10'000;  // the kernel's queue before our read: it drops what finds it full, so nothing may ever find it full

void must(int result, const std::string& what) {
  if (result >= 0) return;
  const int error = errno;
  const std::string why = fmt::format("{}: {}", what, std::strerror(error));
  if (error == EPERM || error == EACCES) throw Unavailable(why + "; hosts need root (CAP_SYS_ADMIN and CAP_NET_ADMIN)");
  throw Error(ExitCode::other, why);
}

Descriptor own_network() {
  Descriptor network(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  must(network.get(), "opening the own network namespace");
  return network;
}

Descriptor open_tun() {
  Descriptor tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (tun.get() < 0) {
    throw Unavailable(fmt::format("/dev/net/tun: {}; hosts need the kernel's TUN device (modprobe tun)", std::strerror(errno)));
  }
  return tun;
}

// One interface of the namespace that the calling thread is in.
class Interface {
 public:
  explicit Interface(const char* name) : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    must(socket_.get(), "a socket");
    std::strncpy(request_.ifr_name, name, IFNAMSIZ - 1);
  }
  void set_mtu(int mtu_bytes) {
    request_.ifr_mtu = mtu_bytes;
    apply(SIOCSIFMTU, "mtu");
  }
  void set_send_queue(int num_packets) {
    request_.ifr_qlen = num_packets;
    apply(SIOCSIFTXQLEN, "send queue");
  }
  void set_address(uint32_t address) {
    put_address(address);
    apply(SIOCSIFADDR, "address");
    put_address(kNetmask);
    apply(SIOCSIFNETMASK, "netmask");
  }
  void up() {
    apply(SIOCGIFFLAGS, "flags");
    request_.ifr_flags |= IFF_UP;
    apply(SIOCSIFFLAGS, "up");
  }

 private:
  void put_address(uint32_t address) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address);
    std::memcpy(&request_.ifr_addr, &in, sizeof in);
  }
  void apply(unsigned long call, const char* what) {
    must(ioctl(socket_.get(), call, &request_), fmt::format("setting the {} of {}", what, request_.ifr_name));
  }
  Descriptor socket_;
  ifreq request_{};
};

// In the namespace that the calling thread is in.
Descriptor make_wire(uint32_t address, int mtu_bytes, Segmentation segmentation) {
  Descriptor tun = open_tun();
  ifreq request{};
  std::strncpy(request.ifr_name, kInterface, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (segmentation == Segmentation::offloaded) request.ifr_flags |= IFF_VNET_HDR;
  must(ioctl(tun.get(), TUNSETIFF, &request), "creating the interface of a host");
  if (segmentation == Segmentation::offloaded) {
    must(ioctl(tun.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), "offloading segmentation");
  }
  Interface wire(kInterface);
  wire.set_mtu(mtu_bytes);
  wire.set_send_queue(kSendQueuePackets);
  wire.set_address(address);
  wire.up();
  return tun;
}

Host make_host(int index, int mtu_bytes, Segmentation segmentation) {
  must(unshare(CLONE_NEWNET), "creating a network namespace");
  const uint32_t address = kNetwork + 1 + static_cast<uint32_t>(index);
  const in_addr in{htonl(address)};
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &in, text, sizeof text);
  Host host{fmt::format("host{}", index), text, own_network(), make_wire(address, mtu_bytes, segmentation)};
  Interface("lo").up();  // launchers talk to their own ranks there
  return host;
}
}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

std::vector<Host> make_hosts(int num_hosts, int mtu_bytes, Segmentation segmentation) {
  check(num_hosts >= 1 && num_hosts <= kMaxHosts, "the network has room for the hosts");
  const Descriptor home = own_network();
  std::vector<Host> hosts;
  for (int i = 0; i < num_hosts; ++i) hosts.push_back(make_host(i, mtu_bytes, segmentation));
  must(setns(home.get(), CLONE_NEWNET), "returning to the own network namespace");
  return hosts;
}

OnWire on_wire(std::span<const std::byte> packet, Segmentation segmentation) {
  if (segmentation == Segmentation::none) return {1, packet.size()};
  constexpr size_t kSegmentBytesAt = 4;  // gso_size of struct virtio_net_hdr, in this machine's order of bytes; 0: a single packet
  constexpr size_t kTcpOffsetAt = 12;    // RFC 9293, as RFC 791 counts in words of 4 bytes
  uint16_t segment_bytes = 0;
  std::memcpy(&segment_bytes, packet.data() + kSegmentBytesAt, sizeof segment_bytes);
  const auto ip = packet.subspan(kOffloadHeaderBytes);
  if (segment_bytes == 0) return {1, ip.size()};

  const size_t ip_bytes = 4 * (std::to_integer<size_t>(ip[0]) & 0xf);
  const size_t tcp_bytes = ip_bytes + kTcpOffsetAt < ip.size() ? 4 * (std::to_integer<size_t>(ip[ip_bytes + kTcpOffsetAt]) >> 4) : 0;
  const size_t header_bytes = std::min(ip_bytes + tcp_bytes, ip.size());
  const size_t segments = std::max<size_t>(1, (ip.size() - header_bytes + segment_bytes - 1) / segment_bytes);
  return {segments, ip.size() + (segments - 1) * header_bytes};
}

int host_of_packet(const std::byte* ip_packet, size_t num_bytes, size_t num_hosts) {
  constexpr size_t kHeaderBytes = 20, kDestinationAt = 16;  // RFC 791
  if (num_bytes < kHeaderBytes || std::to_integer<int>(ip_packet[0]) >> 4 != 4) return -1;
  uint32_t destination = 0;
  std::memcpy(&destination, ip_packet + kDestinationAt, sizeof destination);
  const uint32_t index = ntohl(destination) - kNetwork - 1;  // wraps around below the first host
  return index < num_hosts ? static_cast<int>(index) : -1;
}

void enter(int network_fd, const std::string& host_name) {
  must(setns(network_fd, CLONE_NEWNET), "entering the network namespace of " + host_name);
  must(unshare(CLONE_NEWUTS), "creating a namespace for the name of " + host_name);
  must(sethostname(host_name.data(), host_name.size()), "naming " + host_name);
}

}  // namespace thinwire::netlab
