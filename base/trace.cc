#include "base/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace thinwire::trace {

namespace {
constexpr size_t kEventsKept = 4096;
constexpr int kThreads = 32;  // room for each lane's threads in a row's number
constexpr std::array kLaneNames = {"compute", "exposed", "optimizer", "evaluation", "checkpoint", "encode", "wire tx", "wire rx", "decode"};

struct Event {
  Lane lane;
  int thread;
  std::array<char, 32> name;
  uint64_t bytes;
  double begin_us, duration_us;
  int row() const { return static_cast<int>(lane) * kThreads + thread; }
};

thread_local std::shared_ptr<Recorder> t_recorder;
thread_local int t_thread = 0;

double us(Clock::duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }
}  // namespace

struct Recorder::Impl {
  int rank;
  Clock::time_point start = Clock::now();
  // Traces of different ranks lie side by side as far as their clocks agree.
  double start_us = us(std::chrono::system_clock::now().time_since_epoch());
  std::mutex mutex;
  std::FILE* file = nullptr;  // guarded by mutex, as all below
  std::vector<Event> events;
  std::set<int> named_rows;
  const char* separator = "";

  void line(const std::string& json) { std::fprintf(file, "%s%s", std::exchange(separator, ",\n"), json.c_str()); }
  void metadata(const char* what, int row, const std::string& key, const std::string& value) {
    line(fmt::format(R"({{"name":"{}","ph":"M","pid":{},"tid":{},"args":{{"{}":{}}}}})", what, rank, row, key, value));
  }
  void flush() {
    for (const Event& event : events) {
      if (named_rows.insert(event.row()).second) {
        const auto* lane = kLaneNames[static_cast<size_t>(event.lane)];
        metadata("thread_name", event.row(), "name",
                 event.thread == 0 ? fmt::format("\"{}\"", lane) : fmt::format("\"{} {}\"", lane, event.thread));
        metadata("thread_sort_index", event.row(), "sort_index", std::to_string(event.row()));
      }
      line(fmt::format(R"({{"name":"{}","cat":"{}","ph":"X","pid":{},"tid":{},"ts":{:.1f},"dur":{:.1f},"args":{{"bytes":{}}}}})",
                       event.name.data(), kLaneNames[static_cast<size_t>(event.lane)], rank, event.row(), event.begin_us, event.duration_us,
                       event.bytes));
    }
    events.clear();
    std::fflush(file);  // a full disk costs the trace, not the run
  }
};

Recorder::Recorder(const std::filesystem::path& path, int rank) : impl_(std::make_unique<Impl>()) {
  impl_->rank = rank;
  impl_->events.reserve(kEventsKept);
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  impl_->file = std::fopen(path.c_str(), "w");
  if (impl_->file == nullptr)
    throw Error(ExitCode::other, fmt::format("cannot open {} for the trace: {}", path.string(), std::strerror(errno)));
  std::fputs("[\n", impl_->file);
  impl_->metadata("process_name", 0, "name", fmt::format("\"rank {} on {}\"", rank, log::host_name()));
}

Recorder::~Recorder() {
  impl_->flush();
  std::fputs("\n]\n", impl_->file);
  std::fclose(impl_->file);
}

void Recorder::add(Lane lane, std::string_view what, int64_t number, uint64_t bytes, Clock::time_point begin, Clock::time_point end) {
  Event event{lane, t_thread, {}, bytes, impl_->start_us + us(begin - impl_->start), us(end - begin)};
  const auto last = event.name.end() - 1;  // stays 0
  char* at = std::copy_n(what.begin(), std::min(what.size(), event.name.size() - 1), event.name.begin());
  if (number >= 0) fmt::format_to_n(at, static_cast<size_t>(last - at), " {}", number);
  const std::lock_guard lock(impl_->mutex);
  impl_->events.push_back(event);
  if (impl_->events.size() == kEventsKept) impl_->flush();
}

std::shared_ptr<Recorder> current() { return t_recorder; }
void adopt(std::shared_ptr<Recorder> recorder) { t_recorder = std::move(recorder); }
void set_thread(int index) { t_thread = index; }

double Span::end() {
  if (seconds_ >= 0) return seconds_;
  const auto now = Clock::now();
  seconds_ = std::chrono::duration<double>(now - begin_).count();
  noted_.end(bytes_);
  if (t_recorder) t_recorder->add(lane_, what_, number_, bytes_, begin_, now);
  return seconds_;
}

}  // namespace thinwire::trace
