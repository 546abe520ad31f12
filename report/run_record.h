// What a run directory says of a run that is over, or still goes on: config.yaml, run.json and metrics.jsonl (docs/metrics.md).
//
// The files are distrusted, and may be from another version: a key that is absent is left out, and so is a last line that was cut off.
// Other lines that are no records are left out with a warning that names them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace thinwire::report {

struct TrainPoint {
  int64_t step = 0;
  double loss = 0;         // nats
  double trained_s = 0;    // in steps, since the first: pauses between a stop and a resume do not count
  double sent_bytes = 0;   // by rank 0 since the start of the run
  double dense_bytes = 0;  // what fp32 all-reduce of as many steps would have sent
  double step_s = 0, forward_backward_s = 0, encode_s = 0, wire_s = 0, exposed_comm_s = 0, optimizer_s = 0;  // means since the point before
  double tokens_per_s = 0;
};

struct EvalPoint {
  int64_t step = 0;
  double loss = 0;    // nats
  double metric = 0;  // metric_name
};

struct LayerLine {
  std::string name, codec;
  double elems = 0, payload_bytes = 0;  // 0: not told
  std::optional<double> error;          // |a - decoded| / |a|
  std::optional<double> residual_norm;
};

struct Event {
  int64_t step = 0;
  std::string what, detail;
};

struct RunRecord {
  std::string name;                          // of the directory
  int64_t world = 0, params = 0, steps = 0;  // steps: that the configuration asks for
  std::string transport, device, version;
  std::map<std::string, std::string> config;  // "optim.lr" -> "0.002"
  std::vector<TrainPoint> train;              // by step; of a step that was done twice, the later one
  std::vector<EvalPoint> evals;
  std::string metric_name;        // "val_bpb", "val_accuracy"; empty where nothing was evaluated
  std::vector<LayerLine> layers;  // of the last round that was looked at
  int64_t layers_step = 0;
  std::vector<Event> events;
};

// ConfigError where `directory` is no run directory; CorruptData where a file of it is not what it should be, metrics without any record
// among it.
RunRecord read_run(const std::filesystem::path& directory);

// The same of a metrics file's text. `source` is for messages.
void read_metrics(const std::string& text, const std::string& source, RunRecord& run);

}  // namespace thinwire::report
