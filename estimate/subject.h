// What an estimate is of: a run, as far as memory, bytes and time depend on it. Shapes and options; nothing of it is built.
#pragma once
#include <cstdint>

#include "checkpoint/checkpoint.h"
#include "data/footprint.h"
#include "exchange/footprint.h"
#include "exchange/options.h"
#include "exchange/slots.h"
#include "models/footprint.h"

namespace thinwire::estimate {

inline constexpr double kFloat = 4;  // bytes

struct Subject {
  models::ModelOptions model;
  models::PassShape pass;     // of a micro-batch
  exchange::SlotTable table;  // of the model's parameters, as configured
  exchange::ExchangeOptions exchange;
  exchange::CompressOptions compress;
  checkpoint::CheckpointOptions checkpoint;
  data::Footprint data;
  int64_t optimizer_floats = 2;  // that it keeps of each parameter
  int64_t micro_batches = 1;     // of a rank, per step
  int64_t steps = 1;
  int64_t tokens_per_step = 1;
  int ranks = 1, ranks_per_host = 1;
  int ranks_per_process = 1;  // all of them over loopback
  int64_t threads = 6;        // of a rank
  double base_bytes = 0;      // of a process: the program, LibTorch and the transport

  bool crosses_links() const { return ranks > ranks_per_host; }  // else all bytes stay within one host
  double parameters() const { return static_cast<double>(table.total_elems()); }
  bool exchanges_drifts() const { return exchange.schedule == "local_steps"; }
  exchange::Peers peers() const { return exchange::peers_of(exchange, ranks, ranks_per_host); }
};

}  // namespace thinwire::estimate
