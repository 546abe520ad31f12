#include "base/flight.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/flight_layout.h"
#include "base/log.h"

namespace thinwire::flight {

using namespace layout;

namespace {
size_t pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

int make_file(size_t bytes) {
  const int file = memfd_create("thinwire-flight", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) == 0) return file;
  close(file);
  return -1;
}

std::atomic<uint64_t>* map_memory(int file, size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::atomic<uint64_t>*>(memory);  // of zeros, which is what new ones would hold
}

// Whoever sees a later store sees all before it: so a reader can tell an event that was changed meanwhile.
void put(std::atomic<uint64_t>& word, uint64_t value) { word.store(value, std::memory_order_release); }
uint64_t get(const std::atomic<uint64_t>& word) { return word.load(std::memory_order_acquire); }

void put_text(std::atomic<uint64_t>* words, size_t num_words, std::string_view text) {
  const size_t most = num_words * sizeof(uint64_t) - 1;
  if (text.size() > most) text = text.substr(text.size() - most);
  for (size_t w = 0; w < num_words; ++w) {
    uint64_t word = 0;
    const size_t begin = w * sizeof word;
    if (begin < text.size()) std::memcpy(&word, text.data() + begin, std::min(sizeof word, text.size() - begin));
    put(words[w], word);
  }
}

std::string get_text(const std::atomic<uint64_t>* words, size_t num_words) {
  std::string text(num_words * sizeof(uint64_t), '\0');
  for (size_t w = 0; w < num_words; ++w) {
    const uint64_t word = get(words[w]);
    std::memcpy(text.data() + w * sizeof word, &word, sizeof word);
  }
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}
}  // namespace

// What a thread writes its track with.
class Pen {
 public:
  ~Pen() { drop(); }
  void take(std::shared_ptr<Recorder> recorder, std::string_view thread) {
    drop();
    recorder_ = std::move(recorder);
    if (recorder_) track_ = recorder_->claim(thread);
  }
  const std::shared_ptr<Recorder>& recorder() const { return recorder_; }
  std::atomic<uint64_t>* track() const { return track_; }
  size_t depth = 0;

 private:
  void drop() {
    if (track_ != nullptr) recorder_->release(track_);
    recorder_.reset();
    track_ = nullptr;
    depth = 0;
  }
  std::shared_ptr<Recorder> recorder_;
  std::atomic<uint64_t>* track_ = nullptr;
};

namespace {
thread_local Pen t_pen;
}

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Recorder::Recorder(int rank, size_t num_tracks)
    : num_tracks_(num_tracks),
      num_bytes_(pages(sizeof(uint64_t) * words_of(num_tracks))),
      file_(make_file(num_bytes_)),
      words_(map_memory(file_, num_bytes_)),
      claimed_(num_tracks, false) {
  check(num_tracks > 0 && num_tracks <= kMostTracks, "a rank has some threads");
  put(words_[kMagicAt], kMagic);
  put(words_[kRankAt], static_cast<uint64_t>(rank));
  put(words_[kProcessAt], static_cast<uint64_t>(getpid()));
  put(words_[kNumTracksAt], num_tracks);
  put_text(words_ + kHostAt, kHostWords, log::host_name());
  beat();
}

Recorder::~Recorder() {
  munmap(words_, num_bytes_);
  if (file_ >= 0) close(file_);
}

std::filesystem::path Recorder::live_path() const { return file_ < 0 ? "" : fmt::format("/proc/{}/fd/{}", getpid(), file_); }

std::vector<std::byte> Recorder::bytes() const {
  const auto words = copy();
  const auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

void Recorder::set_step(int64_t step) { put(words_[kStepAt], static_cast<uint64_t>(step)); }
void Recorder::beat() { put(words_[kBeatAt], static_cast<uint64_t>(now_us())); }

Recorder::Word* Recorder::claim(std::string_view thread) {
  const std::lock_guard lock(mutex_);
  // Best one that had this name before: two of a name would be mistaken for each other.
  const auto unfitness = [&](size_t t) {
    const std::string name = get_text(words_ + track_at(t) + kThreadAt, kThreadWords);
    return claimed_[t] ? 3 : name == thread ? 0 : name.empty() ? 1 : 2;
  };
  size_t best = 0;
  for (size_t t = 1; t < num_tracks_; ++t) {
    if (unfitness(t) < unfitness(best)) best = t;
  }
  if (claimed_[best]) return nullptr;
  claimed_[best] = true;
  Word* const track = words_ + track_at(best);
  put_text(track + kThreadAt, kThreadWords, thread);
  put(track[kThreadIdAt], static_cast<uint64_t>(gettid()));
  for (size_t depth = 0; depth < kDepth; ++depth) put(track[open_at(depth)], 0);
  return track;
}

void Recorder::release(Word* track) {
  const std::lock_guard lock(mutex_);
  claimed_[(static_cast<size_t>(track - words_) - track_at(0)) / kTrackWords] = false;
}

int64_t Recorder::last_change_us(std::span<const std::string_view> but) const {
  int64_t last = 0;
  for (size_t t = 0; t < num_tracks_; ++t) {
    const Word* const track = words_ + track_at(t);
    if (std::find(but.begin(), but.end(), get_text(track + kThreadAt, kThreadWords)) == but.end())
      last = std::max(last, static_cast<int64_t>(get(track[kChangedAt])));
  }
  return last;
}

// An event that changes while it is copied is left out.
std::vector<uint64_t> Recorder::copy() const {
  std::vector<uint64_t> words(words_of(num_tracks_));
  for (size_t i = 0; i < words.size(); ++i) words[i] = get(words_[i]);
  for (size_t t = 0; t < num_tracks_; ++t) {
    for (size_t e = 0; e < kDepth + kEnded; ++e) {
      const size_t at = track_at(t) + event_at(e);
      if (get(words_[at]) != words[at]) words[at] = 0;
    }
  }
  return words;
}

Snapshot Recorder::look() const {
  const auto words = copy();
  return parse(std::as_bytes(std::span(words)), "the own record");
}

std::shared_ptr<Recorder> current() { return t_pen.recorder(); }
void adopt(std::shared_ptr<Recorder> recorder, std::string_view thread) { t_pen.take(std::move(recorder), thread); }

Scope::Scope(Kind kind, std::string_view name, int64_t number, uint64_t bytes, int64_t peer) {
  Recorder::Word* const track = t_pen.track();
  if (track == nullptr || kind == Kind::none) return;
  track_ = track;
  const size_t depth = t_pen.depth++;
  if (depth >= kDepth) return;
  Recorder::Word* const event = track + open_at(depth);
  const auto now = static_cast<uint64_t>(now_us());
  put(event[kKindAt], 0);
  put(event[kNumberAt], static_cast<uint64_t>(number));
  put(event[kEventStepAt], get(t_pen.recorder()->words_[kStepAt]));
  put(event[kPeerAt], static_cast<uint64_t>(peer));
  put(event[kBytesAt], bytes);
  put(event[kBeginAt], now);
  put(event[kEndAt], 0);
  put_text(event + kNameAt, kNameWords, name);
  put(event[kKindAt], marked(kind, get(track[kBegunAt])));
  put(track[kBegunAt], get(track[kBegunAt]) + 1);
  put(track[kChangedAt], now);
}

void Scope::end(uint64_t bytes) {
  Recorder::Word* const track = std::exchange(track_, nullptr);
  if (track == nullptr || track != t_pen.track() || t_pen.depth == 0) return;
  const size_t depth = --t_pen.depth;
  if (depth >= kDepth) return;
  Recorder::Word* const event = track + open_at(depth);
  const auto now = static_cast<uint64_t>(now_us());
  const uint64_t num_ended = get(track[kNumEndedAt]);
  Recorder::Word* const into = track + ended_at(num_ended % kEnded);
  put(into[kKindAt], 0);
  for (size_t w = kKindAt + 1; w < kEventWords; ++w) put(into[w], get(event[w]));
  if (bytes != 0) put(into[kBytesAt], bytes);
  put(into[kEndAt], now);
  put(into[kKindAt], get(event[kKindAt]));
  put(event[kKindAt], 0);
  put(track[kNumEndedAt], num_ended + 1);
  put(track[kChangedAt], now);
}

}  // namespace thinwire::flight
