// The whole configuration of a run: every section of the YAML file (docs/configuration.md is generated from describe()).
#pragma once
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "comm/options.h"
#include "config/section.h"
#include "data/options.h"
#include "exchange/options.h"
#include "models/model.h"

namespace thinwire::trainer {

struct RunOptions {
  std::string name = "auto";  // auto: <config>-<date>-<time>
  std::string dir = "runs";
  int64_t seed = 1;
  int64_t steps = 300;
  std::string device = "auto";      // auto | cpu
  std::string precision = "fp32";   // auto | fp32 | medium | bf16: trainer/precision.h
  std::string cuda_graph = "auto";  // auto | on | off: trainer/passes.h
  int64_t threads = 1;              // of LibTorch within an operation
  double stall_timeout_s = 600;     // of a rank of which nothing begins or ends; 0: none
  int64_t verify_every = 0;         // steps; compares parameter hashes over all ranks; 0: never
};
void describe(config::Section& section, RunOptions& options);

struct OptimOptions {
  std::string name = "adamw";  // adamw | sgd
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1e-8;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0.1;
  double clip = 1.0;  // global norm; 0: off
  config::Amount warmup{config::Amount::Unit::fraction, 0.1};
  std::string schedule = "cosine";  // cosine | constant
  double final_lr = 0.1;            // of lr, where cosine ends
};
void describe(config::Section& section, OptimOptions& options);

struct ParallelOptions {
  std::optional<int64_t> dp;  // auto: the world of the launcher, or 1
};
void describe(config::Section& section, ParallelOptions& options);

struct EvalOptions {
  int64_t every = 100;   // steps; 0: only at the end
  int64_t batches = 20;  // of micro_batch samples, spread over the validation split
};
void describe(config::Section& section, EvalOptions& options);

struct LogOptions {
  int64_t every = 10;
  int64_t layers_every = 100;
  bool tensorboard = true;
  bool trace = false;
};
void describe(config::Section& section, LogOptions& options);

struct Options {
  RunOptions run;
  models::ModelOptions model;
  data::DataOptions data;
  OptimOptions optim;
  ParallelOptions parallel;
  comm::CommOptions comm;
  exchange::ExchangeOptions exchange;
  exchange::CompressOptions compress;
  checkpoint::CheckpointOptions checkpoint;
  EvalOptions eval;
  LogOptions log;

  Options() = default;
  Options(const Options&) = delete;  // a described Section refers into it
  Options& operator=(const Options&) = delete;
};
void describe(config::Section& root, Options& options);

// Forward passes of one rank per optimiser step. ConfigError with the equation and the nearest valid global batches when it does not come
// out.
int64_t micro_batches_per_rank(const data::DataOptions& data, int world);

// Keys whose change does not alter the trajectory, so that a resume may change them.
bool may_change_on_resume(const std::string& key);

}  // namespace thinwire::trainer
