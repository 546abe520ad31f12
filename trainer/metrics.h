// What a run tells while it goes: the console line, metrics.jsonl and TensorBoard's files (docs/metrics.md). Rank 0 only.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/record_file.h"
#include "trainer/task.h"
#include "trainer/tensorboard.h"

namespace thinwire::trainer {

// Seconds of one step by what the training thread, or the communication threads beside it, were doing.
struct StepTimes {
  double step_s = 0, forward_backward_s = 0, encode_s = 0, wire_s = 0, exposed_comm_s = 0, optimizer_s = 0;
};

struct StepRecord {
  int64_t step = 0;
  double loss = 0;       // mean over ranks
  double grad_norm = 0;  // before clipping; under local_steps of rank 0's own gradient
  double lr = 0;
  double residual_norm = 0;
};

// What one layer's codec left over in the last round, on rank 0.
struct LayerRecord {
  std::string name, codec;
  size_t elems = 0;
  double payload_bytes = 0;  // of one encoding; the longest, where lengths vary with the numbers; of a dense round 4 an element
  // |a - decoded| / |a|, a being what was to be sent. Known under ef14 alone: elsewhere what is left over is not what is kept.
  std::optional<double> error;
  std::optional<double> residual_norm;  // where the policy keeps one
};

// Bytes of this rank, as handed to the transport, and what plain fp32 all-reduce would have handed over.
class WireLedger {
 public:
  // dense_bytes_per_step: 8 n (N - 1) / N for n parameters on N ranks.
  explicit WireLedger(double dense_bytes_per_step) : dense_per_step_(dense_bytes_per_step) {}
  // What was said before the first step and after the last (agreements, checkpoints) counts for the run but for no step. Totals are since
  // the start of this process.
  void count_outside_steps(uint64_t sent_total, uint64_t received_total);
  // What saves said to each other counts likewise, whenever it was said: bytes of the driver's background lane.
  void count_background(uint64_t sent_total);
  // Called at the end of each step. `round_ended`: this step exchanged.
  void end_step(uint64_t sent_total, uint64_t received_total, bool round_ended);

  double dense_bytes() const { return dense_per_step_; }
  uint64_t step_sent() const { return step_sent_; }
  uint64_t step_received() const { return step_received_; }
  std::optional<double> ratio() const { return ratio_; }  // of the last round that ended; nullopt when nothing was sent
  std::optional<double> ratio_total() const;              // of the whole run, resumed parts included

  // For checkpoints: [bytes sent, steps, bytes sent since the last round, steps since the last round].
  std::array<int64_t, 4> state() const;
  void restore(const std::array<int64_t, 4>& state);

 private:
  double dense_per_step_;
  uint64_t last_sent_ = 0, last_received_ = 0, last_background_ = 0;
  uint64_t step_sent_ = 0, step_received_ = 0;
  uint64_t total_sent_ = 0, round_sent_ = 0;
  int64_t total_steps_ = 0, round_steps_ = 0;
  std::optional<double> ratio_;
};

// Of a save that ended, on rank 0.
struct SaveRecord {
  int64_t step = 0;
  double blocked_s = 0;  // training waited
  double save_s = 0;     // until it was committed, or had failed
  std::string failure;   // empty: it is committed
};

class Metrics {
 public:
  static constexpr int kSilent = -1;  // a rank that never writes
  // Appends to run_directory/metrics.jsonl on rank 0, after its last whole line; elsewhere everything is silent. Synthetic data mark every
  // console line.
  Metrics(const std::filesystem::path& run_directory, int rank, int64_t run_steps, int64_t log_every, int64_t tokens_per_step,
          const TaskFacts& facts);

  bool is_first(int64_t step) const { return step == first_step_; }
  bool due(int64_t step) const { return is_first(step) || step % log_every_ == 0 || step == run_steps_; }
  void started(int64_t first_step) { first_step_ = first_step; }
  void show_in_tensorboard(const std::string& resolved_yaml);      // from now on; after started()
  void add(const StepTimes& times, uint64_t sent_bytes);           // every step
  void train(const StepRecord& record, const WireLedger& ledger);  // when due: means over the steps since the last record
  void validation(int64_t step, double loss, const Metric& metric);
  void layers(int64_t step, const std::vector<LayerRecord>& records);
  void saved(const SaveRecord& record);
  void event(int64_t step, const std::string& what, const std::string& detail);

 private:
  struct Interval {
    int64_t steps = 0;
    StepTimes times;
    uint64_t sent_bytes = 0;
  };
  void write(const nlohmann::ordered_json& record);

  std::filesystem::path directory_;
  int rank_;
  int64_t run_steps_, log_every_, tokens_per_step_;
  bool synthetic_;
  std::string rate_;
  int64_t first_step_ = 1;
  std::optional<RecordFile> file_;  // of rank 0
  std::optional<TensorBoard> board_;
  Interval interval_;
};

}  // namespace thinwire::trainer
