// The transport suite over NCCL started over MPI, one process per rank:  mpirun -n 2 nccl_suite
//
// Needs a GPU, else it says why not and ends with 77. Ranks may share one: each then gets an NCCL_HOSTID of its own. Beside the suite,
// device buffers go through the collectives. The first failure of any rank is printed and ends the whole run with exit code 1. `nccl_suite
// stop RANK` stops that rank's process in the middle of an exchange: the others must name it. `nccl_suite kill RANK` kills it.
#include <fmt/format.h>
#include <mpi.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "comm/mpi/mpi.h"
#include "tests/support/mpi_case.h"
#include "tests/support/nccl_over_mpi.h"
#include "tests/support/transport_cases.h"

namespace {
using namespace thinwire;
using test::require;
using test::run_case;

constexpr double kTimeout_s = 60;

// Device memory with bytes in it, and an event behind the copy that brought them.
class DeviceBytes {
 public:
  DeviceBytes(cuda::Runtime& runtime, const std::vector<std::byte>& bytes)
      : runtime_(runtime), size_bytes_(bytes.size()), stream_(runtime.make_stream()), ready_(runtime.make_event()) {
    data_ = static_cast<std::byte*>(runtime.allocate(size_bytes_));
    staged_ = static_cast<std::byte*>(runtime.allocate_host(size_bytes_));
    std::copy(bytes.begin(), bytes.end(), staged_);
    runtime.copy(data_, staged_, size_bytes_, stream_);
    runtime.record(ready_, stream_);
  }
  ~DeviceBytes() {
    runtime_.free(data_);
    runtime_.free_host(staged_);
    runtime_.destroy_event(ready_);
    runtime_.destroy_stream(stream_);
  }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  MutableBytes bytes() const { return {data_, size_bytes_}; }
  comm::Memory memory() const { return {comm::Place::cuda, ready_}; }
  std::vector<std::byte> fetch(size_t num_bytes) {
    runtime_.copy(staged_, data_, num_bytes, stream_);
    runtime_.record(ready_, stream_);
    while (!runtime_.is_done(ready_)) std::this_thread::yield();
    return {staged_, staged_ + num_bytes};
  }

 private:
  cuda::Runtime& runtime_;
  const size_t size_bytes_;
  const cuda::Stream stream_;
  const cuda::Event ready_;
  std::byte *data_ = nullptr, *staged_ = nullptr;
};

std::vector<std::byte> pattern(int rank, size_t num_bytes) {
  std::vector<std::byte> bytes(num_bytes);
  for (size_t i = 0; i < num_bytes; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 256 + static_cast<size_t>(rank) * 61);
  return bytes;
}

void device_buffers_go_through_collectives(comm::Transport& transport) {
  test::Line line(transport, "device");
  cuda::Runtime& runtime = cuda::runtime();
  const int own = line.wire.rank(), size = line.wire.size();
  const auto size_of = [](int rank) { return size_t{300'000} + static_cast<size_t>(rank) * 1001; };
  for (int round = 0; round < 3; ++round) {
    DeviceBytes mine(runtime, pattern(own, size_of(own)));
    std::vector<std::unique_ptr<DeviceBytes>> theirs;
    std::vector<MutableBytes> into;
    for (int r = 0; r < size; ++r) {
      theirs.push_back(std::make_unique<DeviceBytes>(runtime, std::vector<std::byte>(size_of(r) + 100)));
      into.push_back(theirs.back()->bytes());
    }
    if (size > 1) comm::all_gather(line.wire, mine.bytes(), into, mine.memory());
    for (int r = 0; r < size; ++r) {
      if (r == own) continue;
      const auto at = static_cast<size_t>(r);
      require(into[at].size() == size_of(r), fmt::format("{} bytes of rank {}", into[at].size(), r));
      require(theirs[at]->fetch(size_of(r)) == pattern(r, size_of(r)), fmt::format("bytes of rank {}", r));
    }
    DeviceBytes shared(runtime, pattern(own, 100'003));
    comm::broadcast(line.wire, shared.bytes(), size - 1, shared.memory());
    require(shared.fetch(100'003) == pattern(size - 1, 100'003), "the last rank's bytes are everywhere");
  }
}

// Exchanges for ever, until the victim stops or dies after some rounds.
void lose(int victim, int signal, comm::Transport& transport) {
  test::Line line(transport, "line", 3);
  std::vector<float> values(1 << 20);
  for (int i = 0;; ++i) {
    if (i == 20 && transport.world_rank() == victim) std::raise(signal);
    comm::sum_in_rank_order(line.wire, values);
  }
}

void run(const std::string& mode, int victim) {
  const comm::MpiSession session;
  log::set_rank(session.world_rank());
  const auto bootstrap = comm::make_mpi_transport();
  const auto nccl = test::make_nccl_over(*bootstrap, kTimeout_s);
  if (!mode.empty()) lose(victim, mode == "stop" ? SIGSTOP : SIGKILL, *nccl);
  run_case({"DeviceBuffersGoThroughCollectives", device_buffers_go_through_collectives}, *nccl, comm::NcclSettings{}.part_limit_bytes);
  for (const auto& one : test::transport_cases()) run_case(one, *nccl, comm::NcclSettings{}.part_limit_bytes);
}
}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (test::says_why_no_nccl()) return test::kSkipped;
  try {
    run(argc > 2 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : -1);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    comm::MpiSession::abort_process(e.code());
  }
  // The session leaves MPI running after the aborts that the suite provokes; here all ranks are known to be well.
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Finalize();
}
