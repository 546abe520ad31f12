#include "comm/loopback/hub.h"

#include <algorithm>

namespace thinwire::comm {

void LoopbackHub::enter(int rank) {
  const std::lock_guard lock(mutex_);
  present_[static_cast<size_t>(rank)] = true;
}

void LoopbackHub::leave(int rank) {
  const std::lock_guard lock(mutex_);
  present_[static_cast<size_t>(rank)] = false;
  for (const auto& line : forming_) notify_all(*line);
}

std::shared_ptr<LoopbackLine> LoopbackHub::join(const Group& group, std::string_view name, int member) {
  using Presence = LoopbackLine::Presence;
  const std::lock_guard lock(mutex_);
  const auto at = static_cast<size_t>(member);
  auto found = std::find_if(forming_.begin(), forming_.end(), [&](const auto& line) {
    return line->group == group && line->name == name && line->presence[at] == Presence::awaited;
  });
  if (found == forming_.end()) {
    auto line = std::make_shared<LoopbackLine>();
    line->group = group;
    line->name = name;
    line->presence.assign(group.members.size(), Presence::awaited);
    line->queues.resize(group.members.size() * group.members.size());
    line->aborted = aborted_;
    found = forming_.insert(forming_.end(), std::move(line));
  }
  std::shared_ptr<LoopbackLine> line = *found;
  line->presence[at] = Presence::joined;
  if (std::find(line->presence.begin(), line->presence.end(), Presence::awaited) == line->presence.end()) forming_.erase(found);
  return line;
}

void LoopbackHub::quit(LoopbackLine& line, int member) {
  const std::lock_guard lock(mutex_);
  line.presence[static_cast<size_t>(member)] = LoopbackLine::Presence::left;
  notify_all(line);
}

void LoopbackHub::send(LoopbackLine& line, int from, int to, ConstBytes message) {
  std::vector<std::byte> copy;
  {
    const std::lock_guard lock(mutex_);
    auto& spare = line.spare;
    const auto fits = std::find_if(spare.begin(), spare.end(), [&](const auto& buffer) { return buffer.capacity() >= message.size(); });
    if (!spare.empty()) {
      std::swap(fits == spare.end() ? spare.front() : *fits, spare.back());
      copy = std::move(spare.back());
      spare.pop_back();
    }
  }
  copy.assign(message.begin(), message.end());  // outside the lock: it may be long
  const std::lock_guard lock(mutex_);
  line.queue(from, to).push(std::move(copy));
  notify(line.group.members[static_cast<size_t>(to)]);
}

void LoopbackHub::abort(LoopbackLine& line, ExitCode code, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (line.aborted) return;
  line.aborted = Status::failed(code, why);
  notify_all(line);
}

void LoopbackHub::abort_all(ExitCode code, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (aborted_) return;
  aborted_ = Status::failed(code, why);
  for (int rank = 0; rank < world(); ++rank) notify(rank);
}

void LoopbackHub::take(LoopbackLine& line, int to, const std::vector<size_t>& awaited, Arrivals& arrivals) {
  const std::lock_guard lock(mutex_);
  arrivals.failure = line.aborted ? line.aborted : aborted_;
  if (arrivals.failure) return;
  for (int peer = 0; peer < static_cast<int>(awaited.size()); ++peer) {
    auto& queue = line.queue(peer, to);
    size_t missing = awaited[static_cast<size_t>(peer)];
    for (; missing > 0 && !queue.empty(); --missing) {
      arrivals.messages.emplace_back(peer, queue.pop());
    }
    if (missing > 0 && is_gone(line, peer) && !arrivals.failure) {
      arrivals.failure = Status::failed(ExitCode::comm, "rank " + std::to_string(line.group.members[static_cast<size_t>(peer)]) + " left");
    }
  }
}

void LoopbackHub::recycle(LoopbackLine& line, Arrivals& arrivals) {
  const std::lock_guard lock(mutex_);
  for (auto& [peer, message] : arrivals.messages) line.spare.push_back(std::move(message));
  arrivals.messages.clear();
}

void LoopbackHub::notify_all(const LoopbackLine& line) {
  for (const int rank : line.group.members) notify(rank);
}

bool LoopbackHub::is_gone(const LoopbackLine& line, int member) const {
  const auto at = static_cast<size_t>(member);
  if (line.presence[at] == LoopbackLine::Presence::awaited) return !present_[static_cast<size_t>(line.group.members[at])];
  return line.presence[at] == LoopbackLine::Presence::left;
}

}  // namespace thinwire::comm
