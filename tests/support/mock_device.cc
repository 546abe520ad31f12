#include "tests/support/mock_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>

namespace thinwire::test {

template <class Failure>
bool MockMachine::enter(int rank, const std::string& call, bool only_asks, const Failure& failure) {
  if (fault_.kind == Fault::Kind::none || (!fault_.call.empty() && fault_.call != call) || (fault_.rank >= 0 && fault_.rank != rank))
    return false;
  std::unique_lock lock(mutex_);
  const int number = calls_[{rank, call}]++;
  if (number < fault_.after) return false;
  has_struck_ = true;
  if (fault_.kind == Fault::Kind::fails) {
    lock.unlock();
    failure(call + " failed: as asked");
  } else if (fault_.kind == Fault::Kind::hangs) {
    if (only_asks) return true;
    aborted_.wait(lock, [&] { return let_go_ || has_aborted_.count(rank) > 0; });
  } else if (only_asks) {
    return number % 3 != 0;  // twice "not yet"
  } else {
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(50 * (number * 7 % 5)));
  }
  return false;
}

class MockRuntime final : public cuda::Runtime {
 public:
  MockRuntime(MockMachine& machine, int rank) : m_(machine), rank_(rank) {}

  int num_devices() override { return 1; }
  std::string name(int device) override { return "mock " + std::to_string(device); }
  uint64_t memory_bytes(int) override { return 80'000'000'000; }
  void use(int) override { enter("cudaSetDevice"); }
  void* allocate(size_t num_bytes) override { return allocate("cudaMalloc", num_bytes, false); }
  void* allocate_host(size_t num_bytes) override { return allocate("cudaMallocHost", num_bytes, true); }
  void free(void* memory) noexcept override { release(memory, false); }
  void free_host(void* memory) noexcept override { release(memory, true); }

  cuda::Stream make_stream() override {
    enter("cudaStreamCreate");
    const std::lock_guard lock(m_.mutex_);
    return *m_.streams_.insert(new MockMachine::Stream).first;
  }
  void destroy_stream(cuda::Stream stream) noexcept override {
    const std::lock_guard lock(m_.mutex_);
    m_.progress();
    if (!of(stream).work.empty()) m_.violate("a stream with work is destroyed");
    m_.streams_.erase(&of(stream));
    delete &of(stream);
  }
  cuda::Event make_event() override {
    enter("cudaEventCreate");
    const std::lock_guard lock(m_.mutex_);
    return *m_.events_.insert(new MockMachine::Event).first;
  }
  void destroy_event(cuda::Event event) noexcept override {
    const std::lock_guard lock(m_.mutex_);
    m_.events_.erase(&event_of(event));
    delete &event_of(event);
  }
  void record(cuda::Event event, cuda::Stream stream) override {
    enter("cudaEventRecord");
    const std::lock_guard lock(m_.mutex_);
    auto& at = event_of(event);
    of(stream).work.push_back({.kind = Kind::record, .event = &at, .generation = ++at.recorded});
  }
  void wait(cuda::Stream stream, cuda::Event event) override {
    enter("cudaStreamWaitEvent");
    const std::lock_guard lock(m_.mutex_);
    auto& at = event_of(event);
    of(stream).work.push_back({.kind = Kind::wait, .event = &at, .generation = at.recorded});
  }
  bool is_done(cuda::Event event) override {
    if (enter("cudaEventQuery", true)) return false;
    const std::lock_guard lock(m_.mutex_);
    m_.progress();
    return event_of(event).done >= event_of(event).recorded;
  }
  void copy(void* to, const void* from, size_t num_bytes, cuda::Stream stream) override {
    enter("cudaMemcpyAsync");
    const std::lock_guard lock(m_.mutex_);
    of(stream).work.push_back(
        {.kind = Kind::copy, .to = static_cast<std::byte*>(to), .from = static_cast<const std::byte*>(from), .bytes = num_bytes});
  }
  void zero(void* memory, size_t num_bytes, cuda::Stream) override { std::memset(memory, 0, num_bytes); }

 private:
  using Kind = MockMachine::Work::Kind;
  static MockMachine::Stream& of(cuda::Stream stream) { return *static_cast<MockMachine::Stream*>(stream); }
  static MockMachine::Event& event_of(cuda::Event event) { return *static_cast<MockMachine::Event*>(event); }
  bool enter(const char* call, bool only_asks = false) {
    return m_.enter(rank_, call, only_asks, [&](const std::string&) { throw cuda::DeviceError(call, "as asked"); });
  }
  void* allocate(const char* call, size_t num_bytes, bool is_pinned) {
    enter(call);
    void* memory = ::operator new(num_bytes);
    const std::lock_guard lock(m_.mutex_);
    m_.allocations_[memory] = is_pinned;
    return memory;
  }
  void release(void* memory, bool is_pinned) noexcept {
    {
      const std::lock_guard lock(m_.mutex_);
      const auto at = m_.allocations_.find(memory);
      if (at == m_.allocations_.end() || at->second != is_pinned) return m_.violate("memory is freed that was not allocated so");
      m_.allocations_.erase(at);
    }
    ::operator delete(memory);
  }

  MockMachine& m_;
  const int rank_;
};

class MockNccl final : public comm::NcclApi {
 public:
  MockNccl(MockMachine& machine, int rank) : m_(machine), rank_(rank) {}

  std::string version() override { return "0.0.0"; }
  comm::NcclId make_id() override {
    enter("ncclGetUniqueId");
    const std::lock_guard lock(m_.mutex_);
    comm::NcclId id;
    std::memcpy(id.bytes.data(), &m_.next_id_, sizeof m_.next_id_);
    ++m_.next_id_;
    return id;
  }
  Comm init(int size, const comm::NcclId& id, int rank) override {
    const bool stuck = enter("ncclCommInitRankConfig", true) && m_.fault_.kind == Fault::Kind::hangs;
    uint64_t number = 0;
    std::memcpy(&number, id.bytes.data(), sizeof number);
    const std::lock_guard lock(m_.mutex_);
    auto& ring = m_.rings_[number];
    ring.members.resize(static_cast<size_t>(size));
    auto* comm = new MockMachine::Comm{.ring = &ring, .rank = rank, .world_rank = rank_, .stuck = stuck};
    ring.members[static_cast<size_t>(rank)] = comm;
    if (!stuck) ++ring.joined;
    m_.comms_.insert(comm);
    return comm;
  }
  bool is_ready(Comm comm) override {
    if (enter("ncclCommGetAsyncError", true)) return false;
    const std::lock_guard lock(m_.mutex_);
    m_.progress();
    const auto& at = of(comm);
    if (at.stuck || at.ring->joined < at.ring->members.size()) return false;
    return !at.finalizing || at.ring->finalized == at.ring->members.size();
  }
  void group_start() override {
    enter("ncclGroupStart");
    if (is_open_) violate("a group is opened within a group");
    is_open_ = true;
    group_ = {.kind = MockMachine::Work::Kind::group};
    stream_ = nullptr;
  }
  void send(const void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) override {
    enter("ncclSend");
    add(true, const_cast<void*>(data), num_bytes, peer, comm, stream);
  }
  void recv(void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) override {
    enter("ncclRecv");
    add(false, data, num_bytes, peer, comm, stream);
  }
  void group_end() override {
    if (!is_open_) violate("a group is closed that was not opened");
    is_open_ = false;
    const bool stuck = enter("ncclGroupEnd", true) && m_.fault_.kind == Fault::Kind::hangs;
    const std::lock_guard lock(m_.mutex_);
    if (stream_ == nullptr || !m_.comms_.count(group_.comm)) return;  // empty, or aborted meanwhile
    group_.comm->stuck = stuck;
    if (!stuck) static_cast<MockMachine::Stream*>(stream_)->work.push_back(std::move(group_));
  }
  void finalize(Comm comm) override {
    const bool stuck = enter("ncclCommFinalize", true) && m_.fault_.kind == Fault::Kind::hangs;
    const std::lock_guard lock(m_.mutex_);
    of(comm).finalizing = true;
    of(comm).stuck = stuck;
    if (!stuck) ++of(comm).ring->finalized;
  }
  void destroy(Comm comm) override {
    enter("ncclCommDestroy");
    const std::lock_guard lock(m_.mutex_);
    if (!of(comm).finalizing) m_.violate("a communicator is destroyed that was not finalized");
    forget(of(comm));
  }
  void abort(Comm comm) noexcept override {
    const std::lock_guard lock(m_.mutex_);
    if (!m_.comms_.count(&of(comm))) return m_.violate("a communicator is aborted that is gone");
    for (auto* stream : m_.streams_) {
      std::erase_if(stream->work, [&](const auto& work) { return work.comm == &of(comm); });
    }
    forget(of(comm));
    m_.has_aborted_.insert(rank_);
    m_.aborted_.notify_all();
  }

 private:
  static MockMachine::Comm& of(Comm comm) { return *static_cast<MockMachine::Comm*>(comm); }
  bool enter(const char* call, bool only_asks = false) {
    return m_.enter(rank_, call, only_asks, [](const std::string& text) { throw CommError(text); });
  }
  void violate(const std::string& what) {
    const std::lock_guard lock(m_.mutex_);
    m_.violate(what);
  }
  void add(bool is_send, void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) {
    const std::lock_guard lock(m_.mutex_);
    if (!is_open_) m_.violate("a message moves outside a group");
    if (!m_.comms_.count(static_cast<MockMachine::Comm*>(comm))) return;  // aborted while the call hung
    group_.comm = &of(comm);
    group_.ops.push_back({is_send, peer, static_cast<std::byte*>(data), num_bytes});
    stream_ = stream;
  }
  // NCCL keeps what peers see of it; here its place in the ring stays empty.
  void forget(MockMachine::Comm& comm) {
    comm.ring->members[static_cast<size_t>(comm.rank)] = nullptr;
    m_.comms_.erase(&comm);
    delete &comm;
  }

  MockMachine& m_;
  const int rank_;
  // Of the thread that uses NCCL:
  bool is_open_ = false;
  MockMachine::Work group_{};
  cuda::Stream stream_ = nullptr;
};

MockMachine::~MockMachine() {
  for (Stream* stream : streams_) delete stream;
  for (Event* event : events_) delete event;
  for (Comm* comm : comms_) delete comm;
  for (const auto& [memory, is_pinned] : allocations_) ::operator delete(memory);
}

comm::NcclApi& MockMachine::nccl(int rank) {
  const std::lock_guard lock(mutex_);
  auto& at = apis_[rank];
  if (!at) at = std::make_unique<MockNccl>(*this, rank);
  return *at;
}

cuda::Runtime& MockMachine::runtime(int rank) {
  const std::lock_guard lock(mutex_);
  auto& at = runtimes_[rank];
  if (!at) at = std::make_unique<MockRuntime>(*this, rank);
  return *at;
}

void MockMachine::put_gate(cuda::Stream stream) {
  const std::lock_guard lock(mutex_);
  static_cast<Stream*>(stream)->work.push_back({.kind = Work::Kind::gate});
}

void MockMachine::open_gates() {
  const std::lock_guard lock(mutex_);
  gates_open_ = true;
}

void MockMachine::let_go() {
  const std::lock_guard lock(mutex_);
  let_go_ = true;
  aborted_.notify_all();
}

std::vector<std::string> MockMachine::violations() {
  const std::lock_guard lock(mutex_);
  return violations_;
}

size_t MockMachine::num_live_objects() {
  const std::lock_guard lock(mutex_);
  return streams_.size() + events_.size() + allocations_.size() + comms_.size();
}

bool MockMachine::has_struck() {
  const std::lock_guard lock(mutex_);
  return has_struck_;
}

void MockMachine::progress() {
  for (bool moved = true; moved;) {
    moved = false;
    for (Stream* stream : streams_) {
      while (!stream->work.empty() && step(*stream)) {
        stream->work.pop_front();
        moved = true;
      }
    }
  }
}

// Whether the front of the stream has ended.
bool MockMachine::step(Stream& stream) {
  Work& work = stream.work.front();
  switch (work.kind) {
    case Work::Kind::copy: std::memcpy(work.to, work.from, work.bytes); return true;
    case Work::Kind::record: work.event->done = std::max(work.event->done, work.generation); return true;
    case Work::Kind::wait: return work.event->done >= work.generation;
    case Work::Kind::gate: return gates_open_;
    case Work::Kind::group: return move_group(work);
  }
  return false;
}

bool MockMachine::move_group(Work& work) {
  work.comm->running = &work;
  bool is_done = true;
  for (GroupOp& op : work.ops) {
    if (op.done) continue;
    Comm* peer = work.comm->ring->members[static_cast<size_t>(op.peer)];
    Work* theirs = peer == nullptr ? nullptr : peer->running;
    if (theirs != nullptr) {
      const auto meets = std::find_if(theirs->ops.begin(), theirs->ops.end(), [&](const GroupOp& other) {
        return !other.done && other.is_send != op.is_send && other.peer == work.comm->rank;
      });
      if (meets != theirs->ops.end()) {
        if (meets->bytes != op.bytes) violate(fmt::format("{} bytes meet {}", op.bytes, meets->bytes));
        std::memcpy(op.is_send ? meets->data : op.data, op.is_send ? op.data : meets->data, std::min(op.bytes, meets->bytes));
        op.done = meets->done = true;
      }
    }
    is_done = is_done && op.done;
  }
  if (is_done) work.comm->running = nullptr;
  return is_done;
}

}  // namespace thinwire::test
