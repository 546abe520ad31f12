// What a step of a collective costs on a transport:  mpirun -n 2 bench_collective mpi|nccl
//
// all_gather of n bytes of each rank, from host memory and, over nccl, from device memory: checked once, then the median of 21 by rank 0's
// clock. Also how long a channel takes to open, to close in peace, and to abort. Lies beside the CUDA module, which it loads from there.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/cuda/module.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"
#include "comm/mpi/mpi.h"
#include "tests/support/nccl_over_mpi.h"

namespace {
using namespace thinwire;

constexpr double kTimeout_s = 60;
constexpr size_t kSizes_bytes[] = {1, 4096, 65536, size_t{1} << 20, size_t{1} << 24, size_t{1} << 26};

comm::Group everyone(const comm::Transport& transport) {
  comm::Group group;
  for (int r = 0; r < transport.world_size(); ++r) group.members.push_back(r);
  return group;
}

// Every rank's bytes in one array, by rank: in host memory, or on the device with a double on the host to fill and check it.
class Gathered {
 public:
  Gathered(size_t each_bytes, int size, cuda::Runtime* device)
      : device_(device), each_bytes_(each_bytes), into_(static_cast<size_t>(size)) {
    host_.resize(each_bytes * into_.size());
    if (device_ != nullptr) memory_ = device_->allocate(host_.size());
  }
  ~Gathered() {
    if (device_ != nullptr) device_->free(memory_);
  }
  Gathered(const Gathered&) = delete;
  Gathered& operator=(const Gathered&) = delete;

  void run(comm::Wire& wire) {
    auto* at = device_ == nullptr ? host_.data() : static_cast<std::byte*>(memory_);
    for (size_t r = 0; r < into_.size(); ++r) into_[r] = {at + r * each_bytes_, each_bytes_};
    const comm::Memory memory{device_ == nullptr ? comm::Place::host : comm::Place::cuda};
    comm::all_gather(wire, into_[static_cast<size_t>(wire.rank())], into_, memory);
  }

  // Fills the own part, gathers, and looks at all parts.
  void check_once(comm::Wire& wire) {
    std::memset(host_.data(), 0, host_.size());
    const auto own = static_cast<size_t>(wire.rank());
    std::memset(host_.data() + own * each_bytes_, static_cast<int>(own) + 1, each_bytes_);
    copy(memory_, host_.data());
    run(wire);
    copy(host_.data(), memory_);
    for (size_t i = 0; i < host_.size(); ++i)
      check(host_[i] == static_cast<std::byte>(i / each_bytes_ + 1), "every rank's bytes are in their place");
  }

 private:
  void copy(void* to, const void* from) {
    if (device_ == nullptr) return;
    const cuda::Stream stream = device_->make_stream();
    const cuda::Event end = device_->make_event();
    device_->copy(to, from, host_.size(), stream);
    device_->record(end, stream);
    while (!device_->is_done(end)) {
    }
    device_->destroy_event(end);
    device_->destroy_stream(stream);
  }

  cuda::Runtime* const device_;
  const size_t each_bytes_;
  std::vector<std::byte> host_;
  void* memory_ = nullptr;
  std::vector<MutableBytes> into_;
};

double median_s(comm::Wire& wire, Gathered& gathered) {
  std::vector<double> times_s;
  for (int i = 0; i < 22; ++i) {  // the first grows buffers
    comm::barrier(wire);
    const Stopwatch took;
    gathered.run(wire);
    if (i > 0) times_s.push_back(took.seconds());
  }
  std::nth_element(times_s.begin(), times_s.begin() + 10, times_s.end());
  return times_s[10];
}

void time_sizes(comm::Transport& transport, cuda::Runtime* device) {
  const auto channel = transport.open(everyone(transport), "bench");
  comm::Wire wire(*channel, kTimeout_s);
  for (const size_t num_bytes : kSizes_bytes) {
    for (cuda::Runtime* place : {static_cast<cuda::Runtime*>(nullptr), device}) {
      Gathered gathered(num_bytes, transport.world_size(), place);
      gathered.check_once(wire);
      const double took_s = median_s(wire, gathered);
      if (wire.rank() == 0) {
        fmt::print("| {} | {} | {} | {:.3f} ms | {:.2f} GB/s |\n", transport.name(), place == nullptr ? "host" : "device", num_bytes,
                   took_s * 1e3, static_cast<double>(num_bytes) * (transport.world_size() - 1) / took_s / 1e9);
      }
      if (device == nullptr) break;
    }
  }
}

void time_channels(comm::Transport& transport) {
  for (const bool in_peace : {true, true, false}) {
    const Stopwatch opening;
    auto channel = transport.open(everyone(transport), "bench");
    const double open_s = opening.seconds();
    comm::Wire wire(*channel, kTimeout_s);
    if (in_peace) comm::barrier(wire);
    const Stopwatch ending;
    if (!in_peace) channel->abort(ExitCode::other, "as asked");
    const double abort_s = ending.seconds();
    channel.reset();
    if (transport.world_rank() == 0) {
      fmt::print("| {} | channel | opens in {:.1f} ms | {} {:.1f} ms | and is gone after {:.1f} ms |\n", transport.name(), open_s * 1e3,
                 in_peace ? "closes in" : "aborts in", (in_peace ? ending.seconds() : abort_s) * 1e3, ending.seconds() * 1e3);
    }
  }
}
}  // namespace

int main(int argc, char** argv) {
  const bool over_nccl = argc > 1 && std::string(argv[1]) == "nccl";
  if (over_nccl && test::says_why_no_nccl()) return test::kSkipped;
  try {
    const comm::MpiSession session;
    log::set_rank(session.world_rank());
    const auto mpi = comm::make_mpi_transport();
    const auto nccl = over_nccl ? test::make_nccl_over(*mpi, kTimeout_s) : nullptr;
    comm::Transport& transport = over_nccl ? *nccl : *mpi;
    time_sizes(transport, over_nccl ? &cuda::runtime() : nullptr);
    time_channels(transport);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    comm::MpiSession::abort_process(e.code());
  }
  int finalized = 0;  // the session leaves MPI running after an abort; here all ranks are known to be well
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Finalize();
}
