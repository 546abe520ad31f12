// Reading flight records, and telling people what is in them.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>

#include "base/error.h"
#include "base/flight.h"
#include "base/flight_layout.h"

namespace thinwire::flight {

using namespace layout;

namespace {
constexpr std::array<std::string_view, 12> kKindNames = {
    "",          "task",       "on the wire", "waiting for", "data",   "forward and backward",
    "optimizer", "evaluation", "checkpoint",  "encode",      "decode", "planning"};

class Words {
 public:
  explicit Words(ConstBytes bytes) : bytes_(bytes) {}
  size_t size() const { return bytes_.size() / sizeof(uint64_t); }
  uint64_t operator[](size_t at) const {
    uint64_t word;
    std::memcpy(&word, bytes_.data() + at * sizeof word, sizeof word);
    return word;
  }
  int64_t number(size_t at) const { return static_cast<int64_t>((*this)[at]); }
  // Differences of times must not overflow, whatever is in the file.
  int64_t time(size_t at) const { return std::clamp<int64_t>(number(at), 0, INT64_MAX / 2); }
  // Up to the first 0; what no terminal should get is replaced.
  std::string text(size_t at, size_t num_words) const {
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + at * sizeof(uint64_t), num_words * sizeof(uint64_t));
    text.resize(std::min(text.find('\0'), text.size()));
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    return text;
  }

 private:
  ConstBytes bytes_;
};

struct Marked {
  uint64_t ordinal;
  Event event;
};

std::optional<Marked> event_of(const Words& words, size_t at) {
  const uint64_t mark = words[at + kKindAt];
  if (mark == 0 || (mark & 0xff) >= kKindNames.size()) return std::nullopt;
  Event event;
  event.kind = static_cast<Kind>(mark & 0xff);
  event.name = words.text(at + kNameAt, kNameWords);
  event.number = words.number(at + kNumberAt);
  event.step = words.number(at + kEventStepAt);
  event.peer = words.number(at + kPeerAt);
  event.bytes = words[at + kBytesAt];
  event.begin_us = words.time(at + kBeginAt);
  event.end_us = words.time(at + kEndAt);
  return Marked{mark >> 8, std::move(event)};
}

Track track_of(const Words& words, size_t at) {
  Track track;
  track.thread = words.text(at + kThreadAt, kThreadWords);
  track.thread_id = words.number(at + kThreadIdAt);
  for (size_t depth = 0; depth < kDepth; ++depth) {
    auto one = event_of(words, at + open_at(depth));
    if (!one) break;
    one->event.end_us = 0;
    track.open.push_back(std::move(one->event));
  }
  const uint64_t num_ended = words[at + kNumEndedAt];
  for (uint64_t i = num_ended - std::min<uint64_t>(num_ended, kEnded); i < num_ended; ++i) {
    if (auto one = event_of(words, at + ended_at(i % kEnded))) track.ended.push_back(std::move(one->event));
  }
  return track;
}

double seconds(int64_t us) { return static_cast<double>(us) / 1e6; }

std::string time_of_day(int64_t us) {
  const auto since_1970 = static_cast<std::time_t>(us / 1'000'000);
  std::tm utc = {};
  gmtime_r(&since_1970, &utc);
  return fmt::format("{:02}:{:02}:{:02}.{:06}", utc.tm_hour, utc.tm_min, utc.tm_sec, us % 1'000'000);
}

bool is_wait(const Event& event) { return event.kind == Kind::wait || event.kind == Kind::checkpoint; }

std::string line_of(const Event& event, size_t depth, int64_t now_us) {
  std::string line = fmt::format("  {}  {:>12}  step {:<8} {}{}", time_of_day(event.begin_us),
                                 event.end_us == 0 ? fmt::format("since {:.3f} s", seconds(now_us - event.begin_us))
                                                   : fmt::format("{:.6f} s", seconds(event.end_us - event.begin_us)),
                                 event.step, std::string(2 * depth, ' '), event.text());
  if (event.peer >= 0) line += fmt::format("  rank {}", event.peer);
  if (event.bytes > 0) line += fmt::format("  {} bytes", event.bytes);
  return line + "\n";
}
}  // namespace

std::string_view name_of(Kind kind) { return kKindNames[static_cast<size_t>(kind)]; }

std::string Event::text() const {
  if (kind == Kind::task || kind == Kind::wait) return fmt::format("{} {}", name_of(kind), name);  // a task's number is for programs
  return number < 0 ? fmt::format("{} {}", name_of(kind), name) : fmt::format("{} {} {}", name_of(kind), name, number);
}

const Track* Snapshot::track(std::string_view thread) const {
  const auto found = std::find_if(tracks.begin(), tracks.end(), [&](const Track& one) { return one.thread == thread; });
  return found == tracks.end() ? nullptr : &*found;
}

std::string doing(const Snapshot& snapshot, int64_t now_us, std::string_view thread) {
  const auto since = [&](const Event& event) { return fmt::format("{} for {:.0f} s", event.text(), seconds(now_us - event.begin_us)); };
  const Track* const asked = snapshot.track(thread);
  if (thread != "training" && asked != nullptr && asked->innermost() != nullptr) return since(*asked->innermost());
  const Track* const training = snapshot.track("training");
  const Event* at = training == nullptr ? nullptr : training->innermost();
  const Event* blocks = at;
  if (at != nullptr && is_wait(*at)) {  // what it waits for, if some other thread of this rank is at it
    for (const Track& track : snapshot.tracks) {
      const Event* const other = track.innermost();
      if (&track == training || other == nullptr || other->kind == Kind::wire || other->kind == Kind::task) continue;
      if (is_wait(*other) && track.thread != "disk") continue;
      if (blocks == at || other->begin_us < blocks->begin_us) blocks = other;
    }
  }
  if (blocks != nullptr) return since(*blocks);
  if (training != nullptr && !training->ended.empty()) {
    const Event& last = training->ended.back();
    return fmt::format("nothing since {} ended {:.0f} s ago", last.text(), seconds(now_us - last.end_us));
  }
  return "nothing yet";
}

std::string Snapshot::text(int64_t now) const {
  std::string all = fmt::format("rank {} on {}, process {}, step {}; last sign of life {:.1f} s ago; times are UTC\n", rank, host, process,
                                step, seconds(now - beat_us));
  all += fmt::format("it is at: {}\n", doing(*this, now));
  for (const Track& one : tracks) {
    if (one.thread.empty()) continue;
    all += fmt::format("\n{} (thread {})\n", one.thread, one.thread_id);
    for (const Event& event : one.ended) all += line_of(event, 0, now);
    for (size_t depth = 0; depth < one.open.size(); ++depth) all += line_of(one.open[depth], depth, now);
  }
  return all;
}

Snapshot parse(ConstBytes record, std::string_view source) {
  const Words words(record);
  if (words.size() < kHeaderWords || words[kMagicAt] != kMagic)
    throw CorruptData(fmt::format("{} holds no flight record of this version", source));
  const uint64_t num_tracks = words[kNumTracksAt];
  if (num_tracks == 0 || num_tracks > kMostTracks || words.size() < words_of(num_tracks))
    throw CorruptData(fmt::format("{} says that it has {} tracks in {} bytes", source, num_tracks, record.size()));
  Snapshot snapshot;
  snapshot.rank = words.number(kRankAt);
  snapshot.process = words.number(kProcessAt);
  snapshot.step = words.number(kStepAt);
  snapshot.host = words.text(kHostAt, kHostWords);
  snapshot.beat_us = words.time(kBeatAt);
  for (size_t t = 0; t < num_tracks; ++t) snapshot.tracks.push_back(track_of(words, track_at(t)));
  return snapshot;
}

// The other process may be writing: what differs between two readings is left out.
Snapshot read(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw CorruptData(fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)));
  struct stat facts = {};
  fstat(file, &facts);
  std::vector<std::byte> first(std::min<size_t>(static_cast<size_t>(facts.st_size), words_of(kMostTracks) * sizeof(uint64_t))),
      second(first.size());
  const ssize_t num_first = pread(file, first.data(), first.size(), 0), num_second = pread(file, second.data(), second.size(), 0);
  close(file);
  if (num_first <= 0 || num_second < num_first) throw CorruptData(fmt::format("cannot read {}", path.string()));
  first.resize(static_cast<size_t>(num_first));
  const Words before(first), after(second);
  const uint64_t num_tracks = before.size() > kHeaderWords ? before[kNumTracksAt] : 0;
  for (uint64_t t = 0; t < num_tracks && num_tracks <= kMostTracks && words_of(num_tracks) <= before.size(); ++t) {
    for (size_t e = 0; e < kDepth + kEnded; ++e) {
      const size_t at = track_at(t) + event_at(e);
      if (before[at] != after[at]) std::memset(first.data() + at * sizeof(uint64_t), 0, sizeof(uint64_t));
    }
  }
  return parse(first, path.string());
}

}  // namespace thinwire::flight
