// The training loop of one rank, on parts that train() has put together.
#pragma once
#include <memory>
#include <optional>

#include "checkpoint/checkpoint.h"
#include "comm/driver.h"
#include "data/tokenizer.h"
#include "exchange/schedule.h"
#include "models/model.h"
#include "trainer/batches.h"
#include "trainer/metrics.h"
#include "trainer/optimizer.h"
#include "trainer/trainer.h"

namespace thinwire::trainer {

// What a run is made of; built in this order, since later parts refer to earlier ones.
struct Parts {
  const Options& options;
  const RunRequest& request;
  comm::Driver& driver;
  RunLocation location;
  int64_t micro_batches;
  std::unique_ptr<data::Tokenizer> tokenizer;
  data::Corpus corpus;
  std::unique_ptr<models::Model> model;
  std::unique_ptr<exchange::Exchange> exchange;
  std::unique_ptr<exchange::Schedule> schedule;
  std::unique_ptr<AdamW> optimizer;
  std::unique_ptr<checkpoint::Store> store;
};

class Loop {
 public:
  explicit Loop(Parts& parts);
  // Restores the newest good checkpoint (or the one asked for) if the run may resume; then trains to run.steps.
  ExitCode run();

 private:
  struct StepResult {
    double loss = 0, grad_norm = 0;
    StepTimes times;
  };
  void resume();
  void refuse_other_config(const std::map<std::string, std::string>& saved, int64_t step) const;
  StepResult train_step(int64_t step);
  void require_finite(const StepResult& result, int64_t step) const;
  // After a step: what is due of metrics, evaluation, verification and checkpoint. True when the ranks agreed to stop.
  bool after_step(int64_t step, const StepResult& result);
  void save(int64_t step);
  void verify_replicas(int64_t step) const;
  void finish();
  double residual_norm() const;
  checkpoint::State state(int64_t step);

  Parts& parts_;
  TrainBatches batches_;
  Metrics metrics_;
  WireLedger ledger_;
  bool armed_ = false;  // backward's hooks report gradients: set in the last micro-batch
  int64_t step_ = 0;    // finished steps
  int64_t last_saved_ = -1;
  bool last_save_failed_ = false;
  std::array<int64_t, 4> ledger_state_ = {};
  std::optional<double> val_bpb_;
};

}  // namespace thinwire::trainer
