#include "comm/hang.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>

#include "base/log.h"

namespace thinwire::comm {

using flight::Event;
using flight::Kind;
using flight::Snapshot;
using flight::Track;

namespace {
constexpr int64_t kSilent_us = 3'000'000;  // a living process gives a sign of life ten times a second

const Event* open_task(const Track& track) {
  const auto task = std::find_if(track.open.begin(), track.open.end(), [](const Event& event) { return event.kind == Kind::task; });
  return task == track.open.end() ? nullptr : &*task;
}

bool is_on_the_wire(const Track& track) { return track.innermost() != nullptr && track.innermost()->kind == Kind::wire; }

// Where a rank's lane is, seen from a task of that lane of another rank.
enum class Whereabouts { unknown, before, within, waits, elsewhere, behind };

Whereabouts place_of(const Snapshot& record, std::string_view lane, const Event& task) {
  const Track* const track = record.track(lane);
  if (track == nullptr) return Whereabouts::unknown;
  if (const Event* const open = open_task(*track)) {
    if (open->number != task.number) return open->number < task.number ? Whereabouts::before : Whereabouts::behind;
    if (open->name != task.name) return Whereabouts::elsewhere;
    return is_on_the_wire(*track) ? Whereabouts::waits : Whereabouts::within;
  }
  const auto last = std::find_if(track->ended.rbegin(), track->ended.rend(), [](const Event& event) { return event.kind == Kind::task; });
  if (last != track->ended.rend()) return last->number < task.number ? Whereabouts::before : Whereabouts::behind;
  return track->ended.empty() ? Whereabouts::before : Whereabouts::unknown;
}

// The operation in which `other` waits for something that `own` is not at: nothing when it is not so.
const Track* waits_elsewhere(const Snapshot& own, const Snapshot& other, std::string_view lane) {
  for (const Track& track : other.tracks) {
    const Event* const task = open_task(track);
    if (task == nullptr || !is_on_the_wire(track) || track.thread == lane || track.thread == "background") continue;
    const Track* const here = own.track(track.thread);
    if (here != nullptr && here->open.empty() && place_of(own, track.thread, *task) == Whereabouts::before) return &track;
  }
  return nullptr;
}

std::string operation(const Track& track) {
  const Event* const task = open_task(track);
  const Event* const wire = track.innermost();
  return fmt::format("{} ({}, number {} of lane {})", wire->kind == Kind::wire ? wire->name : wire->text(), task->name, task->number,
                     track.thread);
}

// 'T' is stopped, 'Z' is dead; 0: unknown.
char state_of_process(int64_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string line;
  if (!std::getline(file, line)) return 'Z';
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '\0' : line[name_end + 2];
}

char state_of(const Snapshot& record) { return record.host == log::host_name() ? state_of_process(record.process) : '\0'; }
bool is_stopped(char state) { return state == 'T' || state == 't'; }

// It may have come to the operation, and yet takes no part in it.
bool is_silent(const Snapshot& record, int64_t now_us) {
  const char state = state_of(record);
  return is_stopped(state) || state == 'Z' || now_us - record.beat_us > kSilent_us;
}

std::string sign_of_life(const Snapshot& record, int64_t now_us) {
  const char state = state_of(record);
  const std::string process = fmt::format("process {}", record.process);
  if (is_stopped(state)) return process + " is stopped (SIGCONT lets it go on)";
  if (state == 'Z') return process + " is dead";
  if (now_us - record.beat_us < kSilent_us) return process + " is alive";
  const std::string waits = state == 'D' ? ", it waits for a disk or a device" : "";
  return fmt::format("{} has given no sign of life for {:.0f} s{}", process, static_cast<double>(now_us - record.beat_us) / 1e6, waits);
}

std::string list(const std::vector<int>& ranks) { return fmt::format("{}", fmt::join(ranks, ", ")); }

// Of "2, 5; rank 2 on": 2 and 5.
std::vector<int> leading_list(std::string_view text) {
  std::vector<int> ranks;
  for (;;) {
    int rank = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
    if (error != std::errc() || rank < 0) return ranks;
    ranks.push_back(rank);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    constexpr std::string_view kNext = ", ";
    if (!text.starts_with(kNext)) return ranks;
    text.remove_prefix(kNext.size());
  }
}
}  // namespace

std::vector<int> missing_ranks(std::string_view message) {
  constexpr std::string_view kProgress = "no progress for ";
  constexpr std::array<std::string_view, 2> kOfHangs = {"; missing ", "nothing arrives from rank "};         // explain_hang()
  constexpr std::array<std::string_view, 2> kOfWaits = {"no message from rank ", "no message from ranks "};  // Stuck::text()
  const size_t hang = message.find(kProgress);
  const bool is_hang = hang != std::string_view::npos;
  if (is_hang) message.remove_prefix(hang);
  for (const std::string_view marker : is_hang ? kOfHangs : kOfWaits) {
    const size_t at = message.find(marker);
    if (at != std::string_view::npos) return leading_list(message.substr(at + marker.size()));
  }
  return {};
}

std::string describe_rank(int rank, const std::optional<Snapshot>& record, int64_t now_us, std::string_view thread) {
  if (!record) return fmt::format("what rank {} is at is not known", rank);
  return fmt::format("rank {} on {} is at step {}: {}; its {}", rank, record->host, record->step, flight::doing(*record, now_us, thread),
                     sign_of_life(*record, now_us));
}

Hang explain_hang(const Stuck& stuck, int own, std::string_view lane, std::span<const std::optional<Snapshot>> records, int64_t now_us) {
  Hang hang;
  const auto& mine = records[static_cast<size_t>(own)];
  const Track* const here = mine ? mine->track(lane) : nullptr;
  const Event* const task = here != nullptr ? open_task(*here) : nullptr;
  std::string elsewhere;
  for (int rank = 0; rank < static_cast<int>(records.size()); ++rank) {
    const auto& record = records[static_cast<size_t>(rank)];
    const bool awaited = std::binary_search(stuck.missing.begin(), stuck.missing.end(), rank);
    const bool is_known = task != nullptr && record && !stuck.messages_pass;
    const Whereabouts place = !is_known ? Whereabouts::unknown : rank == own ? Whereabouts::waits : place_of(*record, lane, *task);
    const bool is_gone = awaited && rank != own && record && is_silent(*record, now_us);
    const bool came =
        !is_gone && (place == Whereabouts::waits || place == Whereabouts::behind || (place == Whereabouts::unknown && !awaited));
    (came ? hang.arrived : hang.missing).push_back(rank);
    if (came || !is_known) continue;
    const Track* const other = place == Whereabouts::elsewhere ? record->track(lane) : waits_elsewhere(*mine, *record, lane);
    if (other != nullptr) elsewhere += fmt::format(", rank {} is in {}", rank, operation(*other));
  }
  hang.out_of_step = !elsewhere.empty();
  const bool all_came = hang.missing.empty();
  if (all_came) hang.missing = stuck.missing;
  const std::string what = stuck.purpose.empty() ? stuck.what : fmt::format("{} ({})", stuck.what, stuck.purpose);
  const int64_t step = mine ? mine->step : 0;
  hang.text = fmt::format("no progress for {:g} s in {} at step {}: ", stuck.waited_s, what, step);
  if (hang.out_of_step) {
    hang.text +=
        fmt::format("ranks are in different operations: rank {} in {}{}", list(hang.arrived), here ? operation(*here) : what, elsewhere);
  } else if (all_came) {
    hang.text +=
        fmt::format("all ranks have come to it, but nothing arrives from rank {}: look at the network between them", list(hang.missing));
  } else {
    hang.text += fmt::format("arrived {}; missing {}", list(hang.arrived), list(hang.missing));
  }
  const std::string_view thread = stuck.messages_pass ? "disk" : "training";
  for (const int rank : hang.missing) hang.text += "; " + describe_rank(rank, records[static_cast<size_t>(rank)], now_us, thread);
  return hang;
}

}  // namespace thinwire::comm
