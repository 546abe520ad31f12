#include "comm/mpi/channel.h"

#include <algorithm>

#include "base/check.h"
#include "comm/mpi/call.h"

namespace thinwire::comm {

namespace {
constexpr int kTag = 0;
}

MpiChannel::MpiChannel(MPI_Comm comm, std::vector<int> members, size_t message_limit_bytes)
    : comm_(comm), members_(std::move(members)), limit_bytes_(message_limit_bytes), abort_line_(comm), receives_(members_.size()) {
  require_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  require_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
}

MpiChannel::~MpiChannel() {
  if (dead_ || !requests_.empty()) {
    mark_mpi_unclean();
    drop_requests();
    return;
  }
  abort_line_.free();
  MPI_Comm_free(&comm_);
}

Ticket MpiChannel::post(std::span<Op> ops) {
  const Ticket ticket = next_ticket_++;
  tickets_[ticket];
  if (dead_) return ticket;
  for (Op& op : ops) {
    check(op.peer >= 0 && op.peer < size() && op.peer != rank_, "an operation's peer is another member");
    check(op.buffer.memory.place == Place::host, "MPI carries host memory");
    if (op.kind == Op::Kind::recv) {
      op.received = 0;
      auto& waiting = receives_[static_cast<size_t>(op.peer)];
      waiting.push({&op, ticket});
      ++tickets_[ticket].open_parts;
      if (waiting.size() == 1) start_receive(op.peer);
    }
  }
  for (const Op& op : ops) {
    if (op.kind == Op::Kind::send) start_sends(op, ticket);
  }
  return ticket;
}

void MpiChannel::start_sends(const Op& op, Ticket ticket) {
  const auto* bytes = static_cast<const std::byte*>(op.buffer.data);
  size_t left_bytes = op.buffer.bytes;
  for (bool is_last = false; !is_last;) {
    const size_t part_bytes = std::min(left_bytes, limit_bytes_);
    is_last = part_bytes < limit_bytes_;
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(MPI_Isend(bytes, static_cast<int>(part_bytes), MPI_BYTE, op.peer, kTag, comm_, &request), "MPI_Isend");
    requests_.push_back(request);
    parts_.push_back({op.peer, ticket, true});
    ++tickets_[ticket].open_parts;
    bytes += part_bytes;
    left_bytes -= part_bytes;
  }
}

void MpiChannel::start_receive(int peer) {
  const Receive& receive = receives_[static_cast<size_t>(peer)].front();
  const Op& op = *receive.op;
  const size_t room_bytes = std::min(limit_bytes_, op.buffer.bytes - op.received);
  MPI_Request request = MPI_REQUEST_NULL;
  require_mpi(
      MPI_Irecv(static_cast<std::byte*>(op.buffer.data) + op.received, static_cast<int>(room_bytes), MPI_BYTE, peer, kTag, comm_, &request),
      "MPI_Irecv");
  requests_.push_back(request);
  parts_.push_back({peer, receive.ticket, false});
}

Status MpiChannel::poll(Ticket ticket) {
  while (!dead_ && progress()) {  // the next part of a long message may be here already
  }
  const auto at = tickets_.find(ticket);
  check(at != tickets_.end(), "a polled ticket is neither done nor failed yet");
  Status status;
  if (!dead_ && at->second.open_parts == 0) {
    tickets_.erase(at);
    status.state = Status::State::done;
    return status;
  }
  if (!dead_) listen();
  if (auto failed = failure()) {
    drop_requests();
    tickets_.erase(at);
    return *failed;
  }
  status.progress = at->second.progress;
  return status;
}

Status MpiChannel::health() {
  if (!dead_) listen();
  return failure().value_or(Status());
}

bool MpiChannel::progress() {
  if (requests_.empty()) return false;
  completed_.resize(requests_.size());
  statuses_.resize(requests_.size());
  int num_completed = 0;
  const int error = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &num_completed, completed_.data(), statuses_.data());
  if (error != MPI_SUCCESS && error != MPI_ERR_IN_STATUS) {
    fail(ExitCode::comm, "MPI_Testsome failed: " + mpi_error_text(error));
    return false;
  }
  if (num_completed <= 0) return false;
  finished_.clear();
  for (int i = 0; i < num_completed; ++i) {
    MPI_Status& status = statuses_[static_cast<size_t>(i)];
    if (error == MPI_SUCCESS) status.MPI_ERROR = MPI_SUCCESS;  // MPI sets the field only when some request failed
    finished_.emplace_back(parts_[static_cast<size_t>(completed_[static_cast<size_t>(i)])], status);
  }
  size_t kept = 0;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    requests_[kept] = requests_[i];
    parts_[kept++] = parts_[i];
  }
  requests_.resize(kept);
  parts_.resize(kept);
  for (const auto& [part, status] : finished_) finish_part(part, status);
  return true;
}

void MpiChannel::finish_part(const Part& part, const MPI_Status& status) {
  if (status.MPI_ERROR != MPI_SUCCESS) {
    int error_class = 0;
    MPI_Error_class(status.MPI_ERROR, &error_class);
    const std::string who = "rank " + std::to_string(member(part.peer));
    if (error_class != MPI_ERR_TRUNCATE)
      return fail(ExitCode::comm, "the connection to " + who + " broke: " + mpi_error_text(status.MPI_ERROR));
    const size_t capacity_bytes = receives_[static_cast<size_t>(part.peer)].front().op->buffer.bytes;
    return fail(ExitCode::comm, who + " sent more than the " + std::to_string(capacity_bytes) + " bytes that fit");
  }
  Posted& posted = tickets_.at(part.ticket);
  ++posted.progress;
  if (part.is_send) {
    --posted.open_parts;
    return;
  }
  int part_bytes = 0;
  require_mpi(MPI_Get_count(&status, MPI_BYTE, &part_bytes), "MPI_Get_count");
  auto& waiting = receives_[static_cast<size_t>(part.peer)];
  waiting.front().op->received += static_cast<size_t>(part_bytes);
  if (static_cast<size_t>(part_bytes) < limit_bytes_) {
    waiting.pop();
    --posted.open_parts;
  }
  if (!waiting.empty()) start_receive(part.peer);
}

void MpiChannel::listen() {
  const auto notice = abort_line_.listen();
  if (!notice) return;
  fail(notice->code, "rank " + std::to_string(member(notice->from)) + ": " + notice->why);
  const std::lock_guard lock(mutex_);
  aborted_ = true;
}

// A receive that nobody has answered yet is taken back; what is under way stays with MPI, which touches its memory only when called.
void MpiChannel::drop_requests() {
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (parts_[i].is_send) continue;
    MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
  }
  requests_.clear();
  parts_.clear();
}

std::vector<int> MpiChannel::waiting_for(Ticket ticket) const {
  std::vector<int> peers;
  for (const Part& part : parts_) {
    if (part.is_send && part.ticket == ticket) peers.push_back(part.peer);
  }
  for (int peer = 0; peer < size(); ++peer) {
    const auto& waiting = receives_[static_cast<size_t>(peer)];
    if (std::any_of(waiting.begin(), waiting.end(), [&](const Receive& r) { return r.ticket == ticket; })) peers.push_back(peer);
  }
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

std::optional<Status> MpiChannel::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void MpiChannel::fail(ExitCode code, std::string why) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = Status::failed(code, std::move(why));
  dead_ = true;
  mark_mpi_unclean();
}

// Peers are told before own waiters wake: these then free what MPI may still be sending, and telling moves those sends along.
void MpiChannel::abort(ExitCode code, std::string_view why) noexcept {
  try {
    {
      const std::lock_guard lock(mutex_);
      if (aborted_) return;
      aborted_ = true;
    }
    abort_line_.tell_all(code, why);
  } catch (...) {  // no memory for the text, or MPI is broken: mpirun or the deadline ends the peers
  }
  try {
    fail(code, "rank " + std::to_string(member(rank_)) + ": " + std::string(why));
  } catch (...) {
    dead_ = true;
  }
}

}  // namespace thinwire::comm
