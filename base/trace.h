// What the threads of a rank were doing when, as a file that Perfetto and chrome://tracing open (Google's "Trace Event Format", JSON
// array).
//
// A recorder is a property of the thread, like the log (base/log.h): a thread that works for a rank adopts the rank's. Without one a Span
// only measures its time. Metrics are taken from the same spans, so a trace shows what metrics.jsonl counts; and so is
// the flight record (base/flight.h), which is always kept.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/flight.h"

namespace thinwire::trace {

// A row of the picture, one for each thread that has something in it.
enum class Lane : uint8_t { compute, exposed, optimizer, evaluation, checkpoint, encode, wire_tx, wire_rx, decode };

using Clock = std::chrono::steady_clock;

// Thread-safe. Keeps some thousand events and then appends them to the file; the destructor writes the rest. A file that ends early,
// because the process was killed, opens all the same.
class Recorder {
 public:
  Recorder(const std::filesystem::path& path, int rank);  // Error(other) when the file cannot be opened
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // "what number"; a negative number is left out. At most 31 characters are kept.
  void add(Lane lane, std::string_view what, int64_t number, uint64_t bytes, Clock::time_point begin, Clock::time_point end);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::shared_ptr<Recorder> current();  // null: nothing is recorded
void adopt(std::shared_ptr<Recorder> recorder);
void set_thread(int index);                   // of this thread within its rank: 0 trains
inline constexpr int kBackgroundThread = 31;  // what goes on beside training, in whatever thread

constexpr flight::Kind flight_kind(Lane lane) {
  switch (lane) {
    case Lane::compute: return flight::Kind::compute;
    case Lane::exposed: return flight::Kind::wait;
    case Lane::optimizer: return flight::Kind::optimizer;
    case Lane::evaluation: return flight::Kind::evaluation;
    case Lane::checkpoint: return flight::Kind::checkpoint;
    case Lane::encode: return flight::Kind::encode;
    case Lane::decode: return flight::Kind::decode;
    case Lane::wire_tx:
    case Lane::wire_rx: break;  // comm/wire notes them itself, as one operation
  }
  return flight::Kind::none;
}

// Its own lifetime, up to end().
class Span {
 public:
  // `what` must outlive the span.
  explicit Span(Lane lane, std::string_view what, int64_t number = -1)
      : lane_(lane), what_(what), number_(number), noted_(flight_kind(lane), what, number) {}
  ~Span() { end(); }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  void moves(uint64_t bytes) { bytes_ = bytes; }
  double end();  // seconds; records the span, the first time

 private:
  Lane lane_;
  std::string_view what_;
  int64_t number_;
  uint64_t bytes_ = 0;
  double seconds_ = -1;
  flight::Scope noted_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace thinwire::trace
