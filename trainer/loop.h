// The training loop of one rank, on parts that train() has put together.
#pragma once

#include "trainer/batches.h"
#include "trainer/metrics.h"
#include "trainer/parts.h"
#include "trainer/passes.h"
#include "trainer/resume.h"
#include "trainer/saves.h"
#include "trainer/step_reports.h"

namespace thinwire::trainer {

class Loop {
 public:
  Loop(Parts& parts, const Restored& restored);
  Ended run();  // to run.steps, or until a signal asks for a stop
  // One step as if it were the last of the run, so that whatever is exchanged is: for rehearsal.h. The parts have trained afterwards.
  struct OneStep {
    double loss = 0, step_s = 0;  // of this rank
    uint64_t sent_bytes = 0;
    bool dense = false;  // it went without codecs, as the first steps are to
  };
  OneStep try_step();

 private:
  struct StepResult {
    double loss = 0, grad_norm = 0;
    StepTimes times;
  };
  bool is_dense(int64_t step) const;
  StepResult train_step(int64_t step, bool last);
  Batch next_batch(int64_t step, int64_t micro) const;
  void require_finite(const StepResult& result, int64_t step) const;
  // After a step: what is due of metrics, evaluation, verification and checkpoint. True when the ranks agreed to stop.
  bool after_step(int64_t step, const StepResult& result);
  void post_report(int64_t step, const StepResult& result);
  bool collect_report();  // the one that is pending, if any: True when some rank is to stop
  bool layers_due(int64_t step);
  void verify_replicas(int64_t step) const;
  void count_outside_steps();
  void finish();
  Ended ended(ExitCode code) const;  // with this code, unless the last save failed
  int64_t tokens_per_step() const { return batches_.global_batch() * parts_.task->facts().sample_tokens; }
  void show_sample() const;
  const char* label() const { return parts_.task->facts().synthetic ? "[synthetic data] " : ""; }

  Parts& parts_;
  TrainBatches batches_;
  Passes passes_;
  Metrics metrics_;
  WireLedger ledger_;
  Saves saves_;
  int64_t step_ = 0;  // finished steps
  std::string restored_how_;
  int64_t next_layers_ = 0;
  Metric metric_;  // of the last evaluation
  StepReports reports_;
  struct Reported {  // what the pending report is of
    StepRecord record;
    bool is_logged = false;
  } reported_;
};

}  // namespace thinwire::trainer
