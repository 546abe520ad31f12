#include "trainer/watchdog.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "comm/hang.h"

namespace thinwire::trainer {

using flight::Snapshot;

namespace {
constexpr auto kTick = std::chrono::milliseconds(100);
constexpr double kCopies_s = 10;  // between copies of the record on the disk
// They move, or wait for disks, while training stands still.
constexpr std::array<std::string_view, 3> kBeside = {"background", "saver", "disk"};

bool waits_for_a_disk(const Snapshot& record) {
  const auto* training = record.track("training");
  return training != nullptr && std::any_of(training->open.begin(), training->open.end(),
                                            [](const flight::Event& event) { return event.kind == flight::Kind::checkpoint; });
}

std::string lane_of_this_thread(const Snapshot& record) {
  const auto own = std::find_if(record.tracks.begin(), record.tracks.end(), [](const auto& track) { return track.thread_id == gettid(); });
  return own == record.tracks.end() ? "" : own->thread;
}
}  // namespace

Watchdog::Watchdog(std::shared_ptr<flight::Recorder> record, EndProcess end_process)
    : record_(std::move(record)), end_process_(std::move(end_process)), log_(log::current()), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  stops_.notify_one();
  thread_.join();
}

void Watchdog::begin(comm::Driver& driver, const Deadlines& deadlines) {
  const std::lock_guard lock(mutex_);
  rank_ = driver.rank();  // before any lane can ask
  world_ = driver.size();
  deadlines_ = deadlines;
  driver.patience().set_timeout_s(std::max(deadlines.start_timeout_s, deadlines.timeout_s));
  driver.patience().set_disk_timeout_s(deadlines.disk_timeout_s);
  driver.patience().report_by([this](const comm::Stuck& stuck) { return report(stuck); });
  driver_ = &driver;
}

void Watchdog::end() {
  const std::lock_guard lock(mutex_);
  driver_ = nullptr;
}

void Watchdog::use_directory(const std::filesystem::path& run_directory) {
  const std::lock_guard lock(report_mutex_);
  evidence_ = std::make_unique<Evidence>(run_directory, record_, rank_, world_);
}

void Watchdog::first_step_is_done() {
  if (first_step_is_done_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  driver_->patience().set_timeout_s(deadlines_.timeout_s);
}

void Watchdog::failed(ExitCode code, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = {code, why, {}};
}

comm::Diagnosis Watchdog::report(const comm::Stuck& stuck) {
  const std::string lane = lane_of_this_thread(record_->look());
  return tell([stuck, lane, rank = rank_](const Evidence::Records& records) {
    if (records.empty()) return stuck.text();
    return comm::explain_hang(stuck, rank, lane, records, flight::now_us()).text;
  });
}

// The explanation without records is what can be said when there is no directory yet, or its disk does not answer.
comm::Diagnosis Watchdog::tell(Evidence::Explain explain) {
  const std::lock_guard lock(report_mutex_);
  if (told_) return *told_;
  if (!evidence_) {
    told_ = {ExitCode::comm, explain({}) + ": a rank that does not start, or stands still while it does"};
  } else if (const auto said = evidence_->publish(explain)) {
    told_ = {ExitCode::no_progress, *said};
  } else {
    told_ = {ExitCode::no_progress, explain({}) + "; the disk of the run directory does not answer either"};
  }
  return *told_;
}

bool Watchdog::stalls(double idle_s) const {
  return first_step_is_done_ && deadlines_.stall_timeout_s > 0 && idle_s > deadlines_.stall_timeout_s && !waits_for_a_disk(record_->look());
}

void Watchdog::listen() {
  if (const comm::Status health = driver_->health(); health.state == comm::Status::State::failed) {
    failure_ = {health.code, health.why, {}};
    const std::lock_guard lock(report_mutex_);
    if (health.code == ExitCode::no_progress && evidence_) evidence_->add_own_record();
    return;
  }
  if (since_copy_.seconds() > kCopies_s) {
    since_copy_ = {};
    const std::lock_guard lock(report_mutex_);
    if (evidence_) evidence_->copy_record();
  }
  const double idle_s = static_cast<double>(flight::now_us() - record_->last_change_us(kBeside)) / 1e6;
  if (!stalls(idle_s)) return;
  const auto [code, why] = tell([idle_s, rank = rank_, own = record_->look()](const Evidence::Records&) {
    return fmt::format("no progress for {:.0f} s: {}", idle_s, comm::describe_rank(rank, own, flight::now_us()));
  });
  failure_ = {code, why, {}};
  driver_->abort(code, why);
}

void Watchdog::run() {
  log::adopt(log_);
  std::unique_lock lock(mutex_);
  while (!stops_.wait_for(lock, kTick, [this] { return is_over_; })) {
    record_->beat();
    if (!failure_ && driver_ != nullptr) listen();
    if (failure_ && failure_->since.seconds() > kLeaving_s && end_process_) end_process_(failure_->code, failure_->why);
  }
}

}  // namespace thinwire::trainer
