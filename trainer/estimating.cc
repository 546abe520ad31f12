#include "trainer/estimating.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "checkpoint/footprint.h"
#include "data/tokenizer.h"
#include "estimate/disk.h"
#include "trainer/agreement.h"
#include "trainer/planning.h"
#include "trainer/probe.h"

namespace thinwire::trainer {

namespace {

constexpr int64_t kOtherThreads = 4;                    // training, control, background, saves
constexpr int64_t kImageClasses = 10, kImageSide = 28;  // of the one image set there is (data/images.h)

int64_t optimizer_floats(const OptimOptions& optim) { return optim.name == "adamw" ? 2 : optim.momentum > 0 ? 1 : 0; }

}  // namespace

int64_t num_classes_of(const Options& options) {
  if (options.data.images()) return kImageClasses;
  if (options.model.vocab) return *options.model.vocab;
  return data::make_tokenizer(options.data.tokenizer)->vocab_size();
}

estimate::Subject subject_of(const Options& options, const Setting& setting) {
  const int64_t classes = num_classes_of(options);
  exchange::SlotTable table(checked_slots(options), options.exchange.bucket_bytes);
  const int64_t sample_tokens = options.data.images() ? 1 : options.model.context;
  return {.model = options.model,
          .pass = {options.data.micro_batch, classes, kImageSide, options.run.precision == "bf16"},
          .table = std::move(table),
          .exchange = options.exchange,
          .compress = options.compress,
          .checkpoint = options.checkpoint,
          .data = data::footprint(options.data),
          .optimizer_floats = optimizer_floats(options.optim),
          .micro_batches = micro_batches_per_rank(options.data, setting.ranks),
          .steps = options.run.steps,
          .tokens_per_step = options.data.global_batch * sample_tokens,
          .ranks = setting.ranks,
          .ranks_per_host = setting.ranks_per_host,
          .ranks_per_process = setting.ranks_per_process,
          .threads = options.comm.lanes + kOtherThreads};
}

double transport_bytes(const std::string& transport) {
  // Measured with two to four ranks: MPI's shared segments, gRPC's threads and buffers.
  if (transport == "mpi" || transport == "nccl") return 20e6;
  if (transport == "grpc") return 12e6;
  return 0;
}

double measured_base_bytes(const Options& options) {
  run_tiny_pass(options);
  return static_cast<double>(resident_bytes());
}

Outlook require_memory(comm::Driver& driver, const Options& options, const Setting& setting) {
  constexpr size_t kMostReasonBytes = 4096;
  estimate::Subject subject = subject_of(options, setting);
  subject.base_bytes = measured_base_bytes(options);
  Outlook outlook{estimate::memory_of(subject), available_memory()};
  const std::string mine = outlook.available ? estimate::why_not_fit(outlook.memory, *outlook.available, subject.base_bytes) : "";
  // All have looked before any goes on: what one takes would be missing to the next.
  for (const auto& why :
       gather_bytes(driver, "looking at memory", bytes_of(std::string_view(mine).substr(0, kMostReasonBytes)), kMostReasonBytes)) {
    if (!why.empty()) throw Error(ExitCode::out_of_memory, {reinterpret_cast<const char*>(why.data()), why.size()});
  }
  return outlook;
}

void require_room(comm::Driver& driver, const std::filesystem::path& directory, IfOccupied if_occupied, const estimate::Subject& subject) {
  on_rank_zero(driver, "looking for room", [&] {
    if (const std::string why = why_not_made(directory); !why.empty())
      throw ConfigError(fmt::format("the run directory {} cannot be made: {}; choose another run.dir", directory.string(), why));
    const std::filesystem::path at = nearest_existing(directory);
    std::error_code failed;
    const auto space = std::filesystem::space(at, failed);
    const double wanted_bytes = checkpoint::kSpaceMargin * estimate::disk_of(subject).state_bytes;
    double free_bytes = static_cast<double>(space.available);
    if (free_bytes < wanted_bytes) free_bytes += bytes_given_back(directory, if_occupied);
    if (failed || free_bytes >= wanted_bytes) return;
    throw CheckpointError(
        fmt::format("not enough space for a checkpoint in {}: before it is coded it takes about {}, and {} are free; free some space, or "
                    "choose another run.dir",
                    at.string(), human_bytes(wanted_bytes), human_bytes(free_bytes)));
  });
}

}  // namespace thinwire::trainer
