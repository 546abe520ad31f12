// A machine of GPUs with NCCL that exists in memory: host memory is device memory, ranks are threads.
//
// Streams and kernels behave as on a device, in the strictest way that NCCL allows: work of a stream runs in order, a group of sends and
// receives ends only when each has met its counterpart in a running group of the peer, of the same size. Work moves on when anybody asks.
// Each call can be made to fail, to be late, or to hang; what is allocated and not freed, and what NCCL forbids, is counted.
#pragma once
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/cuda/runtime.h"
#include "comm/nccl/api.h"

namespace thinwire::test {

struct Fault {
  enum class Kind { none, late, fails, hangs };
  Kind kind = Kind::none;
  std::string call = {};  // "cudaMemcpyAsync", "ncclSend"; empty: every one
  int rank = -1;          // -1: every one
  int after = 0;          // so many calls go well first
};

class MockMachine {
 public:
  explicit MockMachine(Fault fault = {}) : fault_(std::move(fault)) {}
  ~MockMachine();

  // Of one rank; live as long as the machine.
  comm::NcclApi& nccl(int rank);
  cuda::Runtime& runtime(int rank);

  // A stream's work that ends when the gate opens.
  void put_gate(cuda::Stream stream);
  void open_gates();
  // Ends calls that hang for good: as killing the process would.
  void let_go();

  std::vector<std::string> violations();  // of NCCL's and CUDA's rules
  size_t num_live_objects();              // streams, events, allocations and communicators
  bool has_struck();                      // the fault has

 private:
  friend class MockNccl;
  friend class MockRuntime;
  struct Event {
    uint64_t recorded = 0, done = 0;
  };
  struct GroupOp {
    bool is_send;
    int peer;
    std::byte* data;
    size_t bytes;
    bool done = false;
  };
  struct Comm;
  struct Work {
    enum class Kind { copy, record, wait, group, gate };
    Kind kind;
    std::byte* to = nullptr;
    const std::byte* from = nullptr;
    size_t bytes = 0;
    Event* event = nullptr;
    uint64_t generation = 0;
    Comm* comm = nullptr;
    std::vector<GroupOp> ops = {};
  };
  struct Stream {
    std::deque<Work> work;
  };
  struct Ring {  // the communicators of one id
    std::vector<Comm*> members;
    size_t joined = 0, finalized = 0;
  };
  struct Comm {
    Ring* ring;
    int rank;
    int world_rank;
    bool stuck = false;  // a call that never gets ready
    bool finalizing = false;
    bool aborted = false;
    Work* running = nullptr;  // its group at the front of a stream
  };

  // A rank's call: late, or throws by `failure(text)`, or hangs until that rank aborts a communicator. True: a call that only asks shall
  // answer "not yet"; such a call does not hang, it never answers anything else.
  template <class Failure>
  bool enter(int rank, const std::string& call, bool only_asks, const Failure& failure);

  void progress();
  bool step(Stream& stream);
  bool move_group(Work& work);
  void violate(const std::string& what) { violations_.push_back(what); }

  const Fault fault_;
  std::mutex mutex_;
  std::condition_variable aborted_;
  std::set<int> has_aborted_;                         // by rank
  std::map<std::pair<int, std::string>, int> calls_;  // that the fault is about, by rank and name
  bool has_struck_ = false, gates_open_ = false, let_go_ = false;
  std::set<Stream*> streams_;
  std::set<Event*> events_;
  std::map<void*, bool> allocations_;  // true: pinned
  std::set<Comm*> comms_;
  std::map<uint64_t, Ring> rings_;
  uint64_t next_id_ = 1;
  std::vector<std::string> violations_;
  std::map<int, std::unique_ptr<comm::NcclApi>> apis_;
  std::map<int, std::unique_ptr<cuda::Runtime>> runtimes_;
};

}  // namespace thinwire::test
