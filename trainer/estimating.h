// From a configuration to what room estimate works on; and the refusal of a run that does not fit, before it begins.
#pragma once
#include "comm/driver.h"
#include "estimate/memory.h"
#include "estimate/time.h"
#include "trainer/options.h"
#include "trainer/run_directory.h"

namespace thinwire::trainer {

// Where the ranks of a run are.
struct Setting {
  int ranks = 1;
  int ranks_per_host = 1;
  int ranks_per_process = 1;
};

// Values that a target can have under these options. Reads the tokenizer, no data.
int64_t num_classes_of(const Options& options);

// ConfigError where options contradict each other; DataError for a tokenizer that cannot be read. base_bytes is left 0.
estimate::Subject subject_of(const Options& options, const Setting& setting);

// Of a process of the program that has loaded what training needs of LibTorch: measured by a pass of a tiny model in this one, which takes
// a moment. Nothing large may be in memory yet.
double measured_base_bytes(const Options& options);
// What the transport takes beside that.
double transport_bytes(const std::string& transport);

// Times passes of the model, or of one with its proportions that takes a second at most, and scales by the operations; on run.threads.
struct PassSpeed {
  double pass_s = 0;       // of a micro-batch, forward and backward
  double optimizer_s = 0;  // a step of it
};
PassSpeed measured_passes(const Options& options, const estimate::Subject& subject);
// Encoding and decoding of a round by one thread.
double measured_codec_s(const estimate::Subject& subject);

struct Outlook {
  estimate::Memory memory;
  std::optional<AvailableMemory> available;  // on this rank's host
};
// A collective, before anything large is made. Error(out_of_memory) on every rank where the run does not fit into some rank's host: with
// the estimate, what is available, the largest parts and three knobs.
Outlook require_memory(comm::Driver& driver, const Options& options, const Setting& setting);

// A collective, before the run directory is touched. On every rank ConfigError where rank 0 cannot make it, and CheckpointError where there
// is no room for one checkpoint, as a save asks for it: before anything is coded (docs/formats/checkpoint.md).
void require_room(comm::Driver& driver, const std::filesystem::path& directory, IfOccupied if_occupied, const estimate::Subject& subject);

}  // namespace thinwire::trainer
