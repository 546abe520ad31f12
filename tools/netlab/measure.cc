#include "tools/netlab/measure.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "config/values.h"
#include "tools/netlab/precedence.h"

namespace thinwire::netlab {

namespace {
using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr uint16_t kPort = 5001;
constexpr int kRoundTrips = 20;
constexpr int kProbes = 5000;
constexpr size_t kProbeBytes = 64, kHeaderBytes = 28;  // IPv4 and UDP
constexpr std::chrono::seconds kTransfer{3}, kMostProbing{3};

double seconds(Time::duration time) { return duration<double>(time).count(); }

sockaddr_in address_of(const Host& host) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  inet_pton(AF_INET, host.address.c_str(), &address.sin_addr);
  return address;
}

void must(int result, const char* what) {
  if (result < 0) throw Error(ExitCode::comm, fmt::format("measuring: {}: {}", what, std::strerror(errno)));
}

// A socket stays in the namespace where it was made, wherever its thread goes. All are bound to kPort of their host.
Descriptor socket_on(const Host& host, int type) {
  enter(host.network.get(), host.name);
  Descriptor made(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  must(made.get(), "a socket");
  const sockaddr_in address = address_of(host);
  must(bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "binding a socket");
  return made;
}

void connect_to(const Descriptor& socket, const Host& host) {
  const sockaddr_in address = address_of(host);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 && errno != EINPROGRESS)
    must(-1, "connecting");
}

bool readable_by(const Descriptor& socket, Time deadline) {
  pollfd wanted{socket.get(), POLLIN, 0};
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  return poll(&wanted, 1, std::max(0, static_cast<int>(left.count()))) > 0;
}

// Numbered datagrams between two hosts.
class Probes {
 public:
  Probes(const Host& from, const Host& to) : near_(socket_on(from, SOCK_DGRAM)), far_(socket_on(to, SOCK_DGRAM)) {
    connect_to(near_, to);
    connect_to(far_, from);
  }
  const Descriptor& near() const { return near_; }
  const Descriptor& far() const { return far_; }

  static void send_number(const Descriptor& socket, int number) {
    std::array<int, kProbeBytes / sizeof(int)> text{number};
    must(static_cast<int>(send(socket.get(), text.data(), sizeof text, 0)), "sending a datagram");
  }
  static int received(const Descriptor& socket) {  // -1: nothing is there
    std::array<int, kProbeBytes / sizeof(int)> text{};
    return recv(socket.get(), text.data(), sizeof text, 0) == sizeof text ? text[0] : -1;
  }
  // Others, which come late, are passed over.
  static bool comes(const Descriptor& socket, int number, Time deadline) {
    while (readable_by(socket, deadline)) {
      if (received(socket) == number) return true;
    }
    return false;
  }

 private:
  Descriptor near_, far_;
};

nanoseconds time_on_wire(const LineOptions& asked) {
  return nanoseconds(asked.bits_per_s ? static_cast<int64_t>(8e9 * (kProbeBytes + kHeaderBytes) / *asked.bits_per_s) : 0);
}

std::vector<double> round_trips_s(const Probes& probes, const LineOptions& asked) {
  const auto patience = milliseconds(500) + 2 * (asked.delay + time_on_wire(asked));
  std::vector<double> times_s;
  for (int i = 0; i < kRoundTrips; ++i) {
    const Time sent = Clock::now();
    Probes::send_number(probes.near(), i);
    if (!Probes::comes(probes.far(), i, sent + patience)) continue;
    Probes::send_number(probes.far(), i);
    if (Probes::comes(probes.near(), i, sent + 2 * patience)) times_s.push_back(seconds(Clock::now() - sent));
  }
  std::sort(times_s.begin(), times_s.end());
  return times_s;
}

struct Arrived {
  int sent = 0, came = 0;
};

// At a quarter of the rate, so that none is lost for want of room.
Arrived count_arrivals(const Probes& probes, const LineOptions& asked) {
  const auto interval = std::max<nanoseconds>(nanoseconds(100'000), 4 * time_on_wire(asked));
  Arrived arrived;
  arrived.sent = static_cast<int>(std::clamp<int64_t>(kMostProbing / interval, 10, kProbes));
  const auto drain = [&] {
    while (Probes::received(probes.far()) >= 0) arrived.came++;
  };
  const Time begin = Clock::now();
  for (int i = 0; i < arrived.sent; ++i) {
    std::this_thread::sleep_until(begin + i * interval);
    Probes::send_number(probes.near(), i);
    drain();
  }
  const Time deadline = Clock::now() + asked.delay + milliseconds(500);
  while (arrived.came < arrived.sent && readable_by(probes.far(), deadline)) drain();
  return arrived;
}

struct Rates {
  double wire_bits_per_s = 0, payload_bits_per_s = 0;
};

// One thread for both ends: neither ever waits for the other.
class Transfer {
 public:
  Transfer(const Host& from, const Host& to) : near_(socket_on(from, SOCK_STREAM)) {
    const Descriptor listening = socket_on(to, SOCK_STREAM);
    must(listen(listening.get(), 1), "listening");
    connect_to(near_, to);
    if (!readable_by(listening, Clock::now() + std::chrono::seconds(20)))
      throw Error(ExitCode::comm, "measuring: no connection within 20 s");
    far_ = Descriptor(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    must(far_.get(), "accepting");
  }
  int64_t run_until(Time end) {  // bytes that came
    int64_t num_bytes = 0;
    std::array<pollfd, 2> ready{{{near_.get(), POLLOUT, 0}, {far_.get(), POLLIN, 0}}};
    while (Clock::now() < end) {
      poll(ready.data(), ready.size(), 10);
      if (ready[0].revents != 0 && send(near_.get(), buffer_.data(), buffer_.size() / 4, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        must(-1, "sending");
      if (ready[1].revents != 0) num_bytes += std::max<int64_t>(0, recv(far_.get(), buffer_.data(), buffer_.size(), 0));
    }
    return num_bytes;
  }

  // What so much payload is on the wire, in full segments. No interface counts it: segments pass them together, with one header.
  int64_t wire_bytes(int64_t payload_bytes) const {
    constexpr int64_t kHeaders = 20 + 20, kTimestamps = 12;  // IPv4 and TCP (RFC 791, 9293); RFC 7323, padded
    tcp_info info{};
    socklen_t size = sizeof info;
    must(getsockopt(near_.get(), IPPROTO_TCP, TCP_INFO, &info, &size), "reading what TCP has agreed on");
    const int64_t headers = kHeaders + ((info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0 ? kTimestamps : 0);
    return payload_bytes + payload_bytes / info.tcpi_snd_mss * headers;
  }

 private:
  Descriptor near_, far_;
  std::vector<char> buffer_ = std::vector<char>(1 << 20);
};

Rates transfer(const Host& from, const Host& to, const LineOptions& asked) {
  Transfer transfer(from, to);  // leaves us on `to`
  // TCP first finds out how fast it may go.
  transfer.run_until(Clock::now() + std::max<nanoseconds>(std::chrono::seconds(1), 60 * asked.delay));
  const Time begin = Clock::now();
  const int64_t payload = transfer.run_until(begin + kTransfer);
  const double took_s = seconds(Clock::now() - begin);
  return {8 * static_cast<double>(transfer.wire_bytes(payload)) / took_s, 8 * static_cast<double>(payload) / took_s};
}
}  // namespace

int measure(const Host& from, const Host& to, const LineOptions& asked) {
  take_precedence();
  const Probes probes(from, to);
  const auto times_s = round_trips_s(probes, asked);
  if (times_s.empty())
    throw Error(ExitCode::comm, fmt::format("measuring: none of {} packets went from {} to {} and back", kRoundTrips, from.name, to.name));
  const double asked_ms = 2e3 * seconds(asked.delay + time_on_wire(asked));
  fmt::print("round_trip  {:.2f} ms median, {:.2f} ms least of {} (asked: {:.2f} ms)\n", 1e3 * times_s[times_s.size() / 2],
             1e3 * times_s[0], times_s.size(), asked_ms);
  const Arrived arrived = count_arrivals(probes, asked);
  fmt::print("loss        {:.2f} %, {} of {} packets (asked: {:.2f} %)\n", 100.0 * (arrived.sent - arrived.came) / arrived.sent,
             arrived.sent - arrived.came, arrived.sent, 100 * asked.loss);
  std::fflush(stdout);
  const Rates rates = transfer(from, to, asked);
  fmt::print("rate        {} on the wire, {} of it payload of one TCP connection (asked: {})\n", config::print_rate(rates.wire_bits_per_s),
             config::print_rate(rates.payload_bits_per_s), asked.bits_per_s ? config::print_rate(*asked.bits_per_s) : "unlimited");
  return 0;
}

}  // namespace thinwire::netlab
