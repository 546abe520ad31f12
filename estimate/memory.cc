#include "estimate/memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "estimate/disk.h"

namespace thinwire::estimate {

namespace {

constexpr double kThread = 1.2e6;  // its stack and its heap, as far as they are touched: measured, 0.9 to 1.4 MB
constexpr const char* kModel = "model.layers, model.d_model";
constexpr const char* kBatch = "data.micro_batch, model.context";
constexpr size_t kNamed = 3;  // parts and knobs in a refusal

bool saves_beside_training(const Subject& s) {
  const auto& o = s.checkpoint;
  return o.async && o.every > 0 && o.every < s.steps;
}

void add_training(const Subject& s, std::vector<Part>& parts) {
  const double flat = kFloat * s.parameters();
  const auto pass = models::pass_footprint(s.model, s.pass);
  parts.push_back({"weights", flat, kModel});
  parts.push_back({"optimizer state", flat * static_cast<double>(s.optimizer_floats), "optim.name: sgd"});
  parts.push_back({"activations kept for backward", pass.kept, kBatch});
  parts.push_back({"scores and their gradient", pass.scores, kBatch});
  parts.push_back({"work of backward", pass.work, kBatch});
}

void add_exchange(const Subject& s, std::vector<Part>& parts) {
  const auto kept = exchange::footprint_of(s.table, s.exchange, s.compress, s.peers());
  parts.push_back({"gradients", kept.values + kept.gradients, kModel});
  parts.push_back({"residuals and estimates", kept.feedback, "compress.error_feedback.state: int8"});
  parts.push_back({"anchors and outer momenta", kept.schedule, "exchange.outer.name: sgd, exchange.delay: 0"});
  parts.push_back({"sketches", kept.sketches, "compress.powersgd.rank"});
  parts.push_back({"exchange buffers", kept.buffers, "compress.combine, or a codec of smaller payloads"});
  parts.push_back({"samples of plans", kept.samples + kept.rebuilding, "compress.plan.method: off"});
}

// Once glibc has been given back a block of megabytes, as of data that grew while they were loaded, it takes all that are smaller from a
// heap with holes in it. Measured: up to two fifths of what passes take and give back, of small models nothing.
double heap_bytes(const Subject& s) {
  constexpr double kLargeData = 32e6, kHoles = 1.0 / 3;
  const bool has_grown = !s.data.is_mapped && s.data.kept_bytes > kLargeData;
  return has_grown ? kHoles * models::pass_footprint(s.model, s.pass).kept : 0;
}

// Of the codings of a save what is on top of training. One that training waits for has the room that passes have given back.
double coded_bytes(const Subject& s, const Disk& disk) {
  if (saves_beside_training(s)) return disk.written_by_first_bytes;
  const auto pass = models::pass_footprint(s.model, s.pass);
  return std::max(0.0, disk.written_by_first_bytes - (pass.kept + pass.scores + pass.work));
}

// Most parts grow with the model; activations with the batch.
std::string knob_of_size(const Memory& memory) {
  double of_batch = 0;
  for (const Part& part : memory.parts) of_batch += part.lower == kBatch ? part.bytes : 0;
  return of_batch > memory.rank_bytes / 2 ? kBatch : kModel;
}

}  // namespace

Memory memory_of(const Subject& s) {
  Memory memory;
  add_training(s, memory.parts);
  add_exchange(s, memory.parts);
  const Disk disk = disk_of(s);
  memory.snapshot_bytes = saves_beside_training(s) ? disk.state_of_rank_bytes : 0;
  memory.parts.push_back({"checkpoint snapshot", memory.snapshot_bytes, "checkpoint.async: false"});
  memory.parts.push_back({"checkpoint, coded", coded_bytes(s, disk), "checkpoint.mode"});
  memory.parts.push_back({"checkpoint, its coders", disk.coders_bytes, "checkpoint.threads"});
  if (s.data.is_mapped)
    memory.mapped_bytes = s.data.kept_bytes;
  else
    memory.parts.push_back({"data", s.data.kept_bytes, "data.files"});
  memory.parts.push_back({"freed, kept by the allocator", heap_bytes(s), kBatch});
  memory.parts.push_back({"threads", kThread * static_cast<double>(s.threads), "comm.lanes"});
  std::erase_if(memory.parts, [](const Part& part) { return part.bytes < 1; });
  std::stable_sort(memory.parts.begin(), memory.parts.end(), [](const Part& a, const Part& b) { return a.bytes > b.bytes; });
  for (const Part& part : memory.parts) memory.rank_bytes += part.bytes;
  memory.base_bytes = s.base_bytes;
  memory.loading_bytes = s.data.is_mapped ? 0 : s.data.loading_bytes;
  const double of_rank = std::max(memory.rank_bytes, memory.loading_bytes);
  memory.process_bytes = s.base_bytes + s.ranks_per_process * of_rank;
  memory.processes = std::max(1, std::min(s.ranks, s.ranks_per_host) / s.ranks_per_process);
  memory.host_bytes = memory.process_bytes * memory.processes;
  return memory;
}

std::string why_not_fit(const Memory& memory, const AvailableMemory& available, double resident_bytes) {
  const double processes = available.of_process ? 1 : memory.processes;
  const double needed = processes * memory.process_bytes, had = processes * resident_bytes;
  if (needed - had <= available.bytes) return "";
  std::vector<std::string> largest, knobs = {knob_of_size(memory)};
  for (const Part& part : memory.parts) {
    if (largest.size() < kNamed) largest.push_back(fmt::format("{} {}", part.name, human_bytes(part.bytes)));
    if (knobs.size() < kNamed && std::find(knobs.begin(), knobs.end(), part.lower) == knobs.end()) knobs.push_back(part.lower);
  }
  return fmt::format(
      "out of memory, before anything is built: {} would take about {} ({} a rank), but {} are available ({}); the largest parts of a "
      "rank: {}; "
      "what makes them less: {}; `thinwire estimate` shows all",
      available.of_process ? "a process of this run" : "this run on this host", human_bytes(needed), human_bytes(memory.rank_bytes),
      human_bytes(available.bytes + had), available.limit, join(largest, ", "), join(knobs, "; "));
}

}  // namespace thinwire::estimate
