#include "app/doctor/links.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/stopwatch.h"
#include "base/text.h"
#include "comm/collectives.h"
#include "config/values.h"
#include "trainer/agreement.h"

namespace thinwire::app::doctor {

namespace {

constexpr int kRoundTrips = 20;
constexpr double kRoundTrips_s = 0.2;  // after which no further one is begun
constexpr size_t kFirstBytes = size_t{1} << 16, kMostBytes = size_t{1} << 25;
constexpr double kRate_s = 0.2;  // that a message should take
constexpr double kMostOffset_s = 1;

double now_s() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::vector<std::pair<int, int>> pairs_of(int ranks) {
  std::vector<std::pair<int, int>> pairs;
  const bool all = ranks * (ranks - 1) / 2 <= kMostPairs;
  for (int a = 0; a < ranks; ++a) {
    for (int b = a + 1; b < ranks; ++b) {
      if (all || a == 0 || b == a + 1) pairs.emplace_back(a, b);
    }
  }
  return pairs;
}

// Within a wire of two.
class Pair {
 public:
  explicit Pair(comm::Wire& wire) : wire_(wire), first_(wire.rank() == 0), peer_(1 - wire.rank()) {}

  void ping(PairFigures& figures) {
    double best_s = -1;
    const Stopwatch watch;
    bool goes_on = true;
    for (int i = 0; goes_on; ++i) {
      goes_on = agreed(i + 1 < kRoundTrips && watch.seconds() < kRoundTrips_s);
      const double sent_s = now_s();
      const Stopwatch trip;
      double theirs_s = now_s();
      if (first_) {
        send(theirs_s);
        receive(theirs_s);
        const double trip_s = trip.seconds();
        if (best_s >= 0 && trip_s >= best_s) continue;
        best_s = trip_s;
        figures.latency_s = trip_s / 2;
        figures.clock_offset_s = theirs_s - (sent_s + trip_s / 2);
      } else {
        double ignored = 0;
        receive(ignored);
        theirs_s = now_s();
        send(theirs_s);
      }
    }
  }

  // Ever longer messages, both ways at once, until one takes long enough to be believed.
  void rate(PairFigures& figures) {
    std::vector<std::byte> out, in;
    for (size_t bytes = kFirstBytes;;) {
      out.resize(bytes);
      in.resize(bytes);
      const Stopwatch watch;
      comm::Op ops[] = {{.kind = comm::Op::Kind::recv, .peer = peer_, .buffer = {in.data(), bytes}},
                        {.kind = comm::Op::Kind::send, .peer = peer_, .buffer = {out.data(), bytes}}};
      wire_.run(ops, "measuring a link");
      const double took_s = watch.seconds();
      figures.bits_per_s = static_cast<double>(bytes) * 8 / took_s;
      const double wanted = static_cast<double>(bytes) * kRate_s / std::max(took_s, 1e-6);
      const bool longer = agreed(took_s < kRate_s / 2 && bytes < kMostBytes);
      if (!longer) return;
      double next = std::min({wanted, 16.0 * static_cast<double>(bytes), static_cast<double>(kMostBytes)});
      if (first_)
        send(next);
      else
        receive(next);
      bytes = std::clamp(static_cast<size_t>(next), kFirstBytes, kMostBytes);
    }
  }

 private:
  void send(double value) {
    comm::Op op{.kind = comm::Op::Kind::send, .peer = peer_, .buffer = {&value, sizeof value}};
    wire_.run({&op, 1}, "measuring a link");
  }
  void receive(double& value) {
    comm::Op op{.kind = comm::Op::Kind::recv, .peer = peer_, .buffer = {&value, sizeof value}};
    wire_.run({&op, 1}, "measuring a link");
    if (op.received != sizeof value || !std::isfinite(value)) wire_.fail("a peer sent something else than a number", "measuring a link");
  }
  // As the first of the two has it.
  bool agreed(bool mine) {
    double value = mine ? 1 : 0;
    if (first_)
      send(value);
    else
      receive(value);
    return value != 0;
  }

  comm::Wire& wire_;
  bool first_;
  int peer_;
};

}  // namespace

std::vector<PairFigures> measure_links(comm::Driver& driver) {
  std::vector<PairFigures> mine;  // those in which this rank is the first
  driver.run(
      "measuring links",
      [&](comm::Wire& wire) {
        for (const auto& [a, b] : pairs_of(wire.size())) {
          if (wire.rank() == a || wire.rank() == b) {
            comm::Wire both(wire, {a, b});
            PairFigures figures{a, b};
            Pair pair(both);
            pair.ping(figures);
            pair.rate(figures);
            if (wire.rank() == a) mine.push_back(figures);
          }
          comm::barrier(wire);  // no pair disturbs another
        }
      },
      driver.bulk_lane(0));
  std::vector<PairFigures> all;
  constexpr size_t kMost = sizeof(PairFigures) * 4096;
  for (const auto& bytes : trainer::gather_bytes(driver, "figures of links", std::as_bytes(std::span(mine)), kMost)) {
    const size_t before = all.size();
    all.resize(before + bytes.size() / sizeof(PairFigures));
    if (!bytes.empty()) std::memcpy(all.data() + before, bytes.data(), (all.size() - before) * sizeof(PairFigures));
  }
  return all;
}

Findings findings_of(const std::vector<PairFigures>& pairs, const std::vector<std::string>& hosts) {
  Findings findings;
  for (const PairFigures& pair : pairs) {
    const auto host = [&](int rank) { return hosts[static_cast<size_t>(rank)]; };
    const std::string between = host(pair.a) == host(pair.b) ? "both on " + host(pair.a) : host(pair.a) + " and " + host(pair.b);
    const std::string value = fmt::format("{} each way, latency {:.0f} us, clocks {:+.3f} ms apart ({})",
                                          config::print_rate(pair.bits_per_s), pair.latency_s * 1e6, pair.clock_offset_s * 1e3, between);
    const std::string name = fmt::format("ranks {} and {}", pair.a, pair.b);
    if (std::abs(pair.clock_offset_s) > kMostOffset_s)
      findings.push_back(note("links", name, value, "logs and traces of these hosts will not match: timedatectl set-ntp true"));
    else
      findings.push_back({"links", name, value});
  }
  return findings;
}

}  // namespace thinwire::app::doctor
