// The exchange over MPI, one process per rank, against the same rounds over loopback:  mpirun -n 4 exchange_suite [nccl]
//
// With `nccl` it goes over NCCL, started over MPI, or ends with 77 where there is no GPU. Every compressor makes some rounds;
// rank 0 then makes them again with threads for ranks. Each rank's means, state and bytes sent must be the same. The first difference is
// printed and ends the whole run with exit code 1.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mpi.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "base/hash.h"
#include "comm/collectives.h"
#include "comm/mpi/mpi.h"
#include "compressors/registry.h"
#include "exchange/planner.h"
#include "tests/support/nccl_over_mpi.h"
#include "tests/support/run_ranks.h"

namespace {
using namespace thinwire;
using namespace thinwire::exchange;

constexpr double kPatience_s = 60;
constexpr uint64_t kRounds = 4;

struct Case {
  std::string codec;
  std::vector<std::string> options = {};
  FeedbackOptions feedback = {"ef14", 0.95};
  bool reencode = false;  // what is gathered
  bool plans = false;
  int ranks_of_node = 1;

  std::string name() const {
    return fmt::format("{}{}{} {}{}{}{}{}", codec, options.empty() ? "" : " ", fmt::join(options, " "), feedback.name,
                       feedback.state == "int8" ? " int8" : "", reencode ? " reencode" : "", plans ? " plan" : "",
                       ranks_of_node > 1 ? " nodes" : "");
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& codec : compressors::codec_names()) {
    all.push_back({.codec = codec});
    all.push_back({.codec = codec, .feedback = {.name = "ef21_sgdm"}});
  }
  const std::vector<std::pair<std::string, std::vector<std::string>>> more{
      {"topk", {"density=50%", "chunk=7"}},
      {"topk", {"index_coding=raw", "values=fp32", "chunk=65536"}},
      {"topk", {"scope=global", "index_coding=rice", "density=1%"}},
      {"topk", {"entropy=rans"}},
      {"quantize", {"bits=3", "bucket=8", "rounding=stochastic"}},
      {"quantize", {"scheme=qsgd", "bits=2"}},
      {"quantize", {"entropy=rans"}},
      {"sign", {"block=8"}},
      {"sparseloco", {"k=300", "vectors=divisor"}},
      {"sparseloco", {"k=1365", "bits=3", "index_coding=packed12"}},
      {"sparseloco", {"entropy=rans"}},
      {"powersgd", {"rank=2", "min_compression=0"}},
      {"powersgd", {"rank=3", "min_compression=0", "warm_start=false"}},
      {"randomk", {"density=30%", "unbiased=true"}},
  };
  for (const auto& [codec, options] : more) all.push_back({.codec = codec, .options = options});
  all.push_back({.codec = "topk", .feedback = {.name = "econtrol"}});
  all.push_back({.codec = "quantize", .feedback = {.name = "ef14", .state = "int8"}});
  all.push_back({.codec = "topk", .reencode = true});
  all.push_back({.codec = "topk", .plans = true});
  all.push_back({.codec = "powersgd", .plans = true});
  all.push_back({.codec = "quantize", .ranks_of_node = 2});
  all.push_back({.codec = "powersgd", .ranks_of_node = 3});
  return all;
}

std::vector<SlotSpec> slots_of(const Case& one, const CompressOptions& options) {
  const std::shared_ptr<const compressors::Compressor> codec =
      one.options.empty() ? options.choice.make() : options.choice.maker(one.codec, one.options)->make();
  std::vector<SlotSpec> slots = {{"one", 1, 1},     {"vector", 1, 37},   {"odd", 61, 13},
                                 {"long", 1, 9001}, {"matrix", 130, 67}, {"dense", 1, 99}};
  for (SlotSpec& slot : slots) {
    slot.codec = codec;
    slot.text = one.name();
    set_combine(slot, options);
  }
  slots.back().codec = compressors::CodecChoice().make();
  slots.back().why_fixed = slots.back().text = "none";
  slots.back().combine_as.reset();
  return slots;
}

struct Result {
  uint64_t bits = 0, sent_bytes = 0;
  bool operator==(const Result&) const = default;
};

// What one rank has of a case.
Result result_of(const Case& one, comm::Driver& driver) {
  CompressOptions options;
  options.choice.codec = one.codec;
  options.combine = one.reencode ? "reencode" : "auto";
  options.error_feedback = one.feedback;
  if (one.plans) options.plan = {.method = "lgreco", .every = 2, .samples = 1};
  const auto slots = slots_of(one, options);
  std::vector<int> node_of_rank;
  for (int r = 0; r < driver.size(); ++r) node_of_rank.push_back(r / one.ranks_of_node);
  constexpr int64_t kBucketBytes = 36'100;  // the large ones for themselves

  const uint64_t sent_before = driver.counters().sent_bytes;
  Exchange exchange(driver, SlotTable(slots, kBucketBytes), one.feedback, true, 7, node_of_rank);
  Planner planner(options, slots, kBucketBytes, exchange, 7);
  StreamingHash hash;
  for (uint64_t step = 1; step <= kRounds; ++step) {
    exchange.begin({step, 0.3f, step == 3});
    for (Slot slot = static_cast<Slot>(slots.size()); slot-- > 0;) {
      const Draw draw = Draw(step).fork(static_cast<uint64_t>(driver.rank())).fork(slot);
      for (uint64_t i = 0; float& x : exchange.values(slot)) x = static_cast<float>(draw.normal(i++));
      exchange.ready(slot);
    }
    exchange.finish();
    for (Slot slot = 0; slot < slots.size(); ++slot) hash.update(bytes_of(std::span<const float>(exchange.values(slot))));
    planner.after_step(step, true);
  }
  for (const StatePiece& piece : exchange.state()) {
    hash.update(bytes_of(std::string_view(piece.name)));
    hash.update(piece.memory);
  }
  return {hash.digest(), driver.counters().sent_bytes - sent_before};
}

std::vector<Result> results_of(comm::Transport& transport, std::vector<std::vector<Result>>* of_all_ranks) {
  comm::Driver driver(transport, kPatience_s);
  std::vector<Result> results;
  for (const Case& one : cases()) results.push_back(result_of(one, driver));
  if (of_all_ranks == nullptr) return results;
  driver.run("results", [&](comm::Wire& wire) {
    const auto bytes = bytes_of(std::span<const Result>(results));
    for (const auto& message : comm::all_gather(wire, bytes, bytes.size())) {
      of_all_ranks->emplace_back(results.size());
      std::memcpy(of_all_ranks->back().data(), message.data(), message.size());
    }
  });
  return results;
}

void compare(const std::vector<std::vector<Result>>& processes, const std::vector<std::vector<Result>>& loopback) {
  const auto all = cases();
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t rank = 0; rank < processes.size(); ++rank) {
      const Result &one = processes[rank][i], &other = loopback[rank][i];
      if (one == other) continue;
      throw std::runtime_error(fmt::format("{}, rank {}: {} and {} bytes between processes, {} and {} bytes over loopback", all[i].name(), rank,
                                           to_hex(one.bits), one.sent_bytes, to_hex(other.bits), other.sent_bytes));
    }
    std::printf("ok %-60s %s %8llu bytes\n", all[i].name().c_str(), to_hex(processes[0][i].bits).c_str(),
                static_cast<unsigned long long>(processes[0][i].sent_bytes));
  }
}

void run(bool over_nccl) {
  const comm::MpiSession session;
  const auto mpi = comm::make_mpi_transport();
  const auto nccl = over_nccl ? test::make_nccl_over(*mpi, kPatience_s) : nullptr;
  comm::Transport* transport = over_nccl ? nccl.get() : mpi.get();
  std::vector<std::vector<Result>> processes, loopback(static_cast<size_t>(transport->world_size()));
  try {
    results_of(*transport, &processes);
    if (transport->world_rank() != 0) return;
    test::run_ranks(transport->world_size(),
                    [&](comm::Transport& thread) { loopback[static_cast<size_t>(thread.world_rank())] = results_of(thread, nullptr); });
    compare(processes, loopback);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "FAILED [rank %d of %d] %s\n", transport->world_rank(), transport->world_size(), e.what());
    comm::MpiSession::abort_process(ExitCode::other);
  }
}
}  // namespace

int main(int argc, char**) {
  const bool over_nccl = argc > 1;
  if (over_nccl && test::says_why_no_nccl()) return test::kSkipped;
  try {
    run(over_nccl);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
}
