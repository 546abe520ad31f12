#include "estimate/disk.h"

namespace thinwire::estimate {

namespace {

constexpr double kFloat = 4;

// Of fp32 tensors whose values are kept in so many bits, with a float for each block of 256 (near/blocks.h).
double near_share(double bits) { return bits / 32 + 1.0 / 256; }

double moment_bits(const checkpoint::CheckpointOptions& options) { return options.moments == "4" ? 4 : 8; }

struct State {  // bytes
  double weights, moments, of_each_rank, of_all;
  bool weights_agree, moments_agree;
};

State state_of(const Subject& s) {
  const double flat = kFloat * s.parameters();
  const auto saved = exchange::saved_bytes_of(s.table, s.exchange, s.compress, s.peers());
  const bool alone = s.ranks == 1, local = s.exchanges_drifts();
  // Under local steps replicas agree right after a round that training waited for.
  const bool after_round = s.exchange.delay == 0 && s.exchange.fragments == 1 && s.checkpoint.every % s.exchange.every == 0;
  return {flat,           flat * static_cast<double>(s.optimizer_floats), saved.of_each_rank, saved.of_all, alone || !local || after_round,
          alone || !local};
}

}  // namespace

Disk disk_of(const Subject& s) {
  const State state = state_of(s);
  const double ranks = s.ranks;
  Disk disk;
  disk.state_of_rank_bytes = state.weights + state.moments + state.of_each_rank + state.of_all;
  const double copies_of_weights = state.weights_agree ? 1 : ranks, copies_of_moments = state.moments_agree ? 1 : ranks;
  disk.state_bytes = copies_of_weights * state.weights + copies_of_moments * state.moments + ranks * state.of_each_rank + state.of_all;
  const bool is_raw = s.checkpoint.mode == "raw", is_near = s.checkpoint.mode == "near_exact";
  const double exact = is_raw ? 1 : kExactShare;
  const double of_moments = is_near ? near_share(moment_bits(s.checkpoint)) : exact, of_residuals = is_near ? near_share(8) : exact;
  disk.checkpoint_bytes = exact * (copies_of_weights * state.weights + state.of_all) + of_moments * copies_of_moments * state.moments +
                          of_residuals * ranks * state.of_each_rank;
  if (!is_raw)
    disk.written_by_first_bytes = exact * (state.weights + state.of_all) + of_moments * state.moments + of_residuals * state.of_each_rank;
  const double keep = s.checkpoint.keep == 0 && s.checkpoint.every > 0 ? static_cast<double>(s.steps / s.checkpoint.every)
                                                                       : static_cast<double>(s.checkpoint.keep);
  disk.kept_bytes = (keep + 1) * disk.checkpoint_bytes;
  return disk;
}

}  // namespace thinwire::estimate
