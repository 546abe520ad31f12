#include "trainer/evidence.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/output.h"
#include "base/stopwatch.h"
#include "comm/hang.h"

namespace thinwire::trainer {

namespace fs = std::filesystem;
using flight::Snapshot;

namespace {
constexpr double kDisk_s = 5;    // that it may take to answer
constexpr double kOthers_s = 2;  // that the report of another rank may take to be there

// What `work` returns, unless that takes too long: it then goes on by itself, with what it has captured.
template <class F>
auto within(double limit_s, F work) -> std::optional<decltype(work())> {
  std::packaged_task<decltype(work())()> task(std::move(work));
  auto result = task.get_future();
  try {
    std::thread(std::move(task)).detach();
  } catch (const std::system_error&) {  // no more threads
    return std::nullopt;
  }
  if (result.wait_for(std::chrono::duration<double>(limit_s)) != std::future_status::ready) return std::nullopt;
  return result.get();
}

void write_if_possible(const fs::path& path, const std::string& text) {
  try {
    write_text(path, text);
  } catch (const std::exception&) {  // a full disk hides the evidence, not the error
  }
}

std::optional<std::string> first_line_of(const fs::path& path, double within_s) {
  for (const Stopwatch waited;; std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
    std::ifstream file(path);
    std::string line;
    if (std::getline(file, line) && !line.empty()) return line;
    if (waited.seconds() >= within_s) return std::nullopt;
  }
}

size_t entries_of(const fs::path& folder) {
  std::error_code absent;
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder, absent), fs::directory_iterator()));
}
}  // namespace

struct Evidence::Place {
  fs::path run_directory, folder;
  std::shared_ptr<const flight::Recorder> record;
  int rank, world;

  fs::path record_of(int r, const char* kind) const { return run_directory / "flight" / fmt::format("rank_{:05}.{}", r, kind); }
  fs::path text_of(size_t r) const { return folder / fmt::format("rank_{:05}.txt", r); }

  // A process of another host, or a later one, may have the same number: what is there must be of that rank.
  std::optional<Snapshot> read(int r) const {
    if (r == rank) return record->look();
    for (const fs::path& path : {fs::path(first_line_of(record_of(r, "live"), 0).value_or("")), record_of(r, "bin")}) {
      try {
        if (path.empty()) continue;
        Snapshot snapshot = flight::read(path);
        if (snapshot.rank == r) return snapshot;
      } catch (const std::exception&) {  // the next, or it is not known
      }
    }
    return std::nullopt;
  }

  std::string publish(const Explain& explain) const {
    std::error_code ignored;
    fs::create_directories(folder.parent_path(), ignored);
    const bool is_first = mkdir(folder.c_str(), 0777) == 0 || errno != EEXIST;
    if (!is_first) {
      if (auto said = first_line_of(folder / "report.txt", kOthers_s)) return *said;
    }
    Records records;
    for (int r = 0; r < world; ++r) records.push_back(read(r));
    const int64_t now = flight::now_us();
    const std::string told = fmt::format("{}; what every rank did last: {}", explain(records), folder.string());
    std::string report = fmt::format("rank {}: {}\n\n", rank, told);
    for (size_t r = 0; r < records.size(); ++r) {
      if (records[r]) write_if_possible(text_of(r), records[r]->text(now));
      report += comm::describe_rank(static_cast<int>(r), records[r], now) + "\n";
    }
    if (is_first) write_if_possible(folder / "report.txt", report);
    return told;
  }

  void keep_copy() const {
    const auto bytes = record->bytes();
    write_text(record_of(rank, "bin"), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
};

Evidence::Evidence(fs::path run_directory, std::shared_ptr<const flight::Recorder> record, int rank, int world)
    : is_copying_(std::make_shared<std::atomic<bool>>(false)) {
  const fs::path folder = run_directory / "hang" / std::to_string(1 + entries_of(run_directory / "hang"));
  place_ = std::make_shared<Place>(Place{std::move(run_directory), folder, std::move(record), rank, world});
  const fs::path live = place_->record_of(rank, "live");
  std::error_code failed;
  fs::create_directories(live.parent_path(), failed);
  fs::remove(live, failed);
  // Not a link, which would lead nowhere later and trip whoever copies the run. Not everywhere: there are copies.
  if (!place_->record->live_path().empty()) write_if_possible(live, place_->record->live_path().string() + "\n");
}

Evidence::~Evidence() {
  for (const Stopwatch waited; *is_copying_ && waited.seconds() < 1;) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Evidence::copy_record() {
  if (is_copying_->exchange(true)) return;
  try {
    std::thread([place = place_, is_copying = is_copying_] {
      try {
        place->keep_copy();
      } catch (const std::exception&) {  // a full disk, or no memory: there is the one before
      }
      *is_copying = false;
    }).detach();
  } catch (const std::system_error&) {  // no more threads: the next copy may have one
    *is_copying_ = false;
  }
}

std::optional<std::string> Evidence::publish(Explain explain) const {
  return within(kDisk_s, [place = place_, explain = std::move(explain)] { return place->publish(explain); });
}

void Evidence::add_own_record() const {
  within(kDisk_s, [place = place_] {
    const fs::path path = place->text_of(static_cast<size_t>(place->rank));
    if (fs::exists(place->folder) && !fs::exists(path)) write_if_possible(path, place->record->look().text(flight::now_us()));
    return true;
  });
}

}  // namespace thinwire::trainer
