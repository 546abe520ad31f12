#include "estimate/disk.h"

#include <algorithm>
#include <numeric>

#include "checkpoint/chain.h"
#include "checkpoint/footprint.h"

namespace thinwire::estimate {

namespace {

constexpr int64_t kChain =
    1 + static_cast<int64_t>(checkpoint::kMostBases);  // checkpoints of mode extreme, the first of which stands alone

// Of fp32 tensors whose values are kept in so many bits, with a float for each block of 256 (near/blocks.h).
double near_share(double bits) { return bits / 32 + 1.0 / 256; }

double moment_bits(const checkpoint::CheckpointOptions& options) { return options.moments == "4" ? 4 : 8; }

// Of what tensors take in memory, as fp32.
struct Shares {
  double weights, anchors, moments, residuals;
};

// What mode extreme made of the demo's model, a checkpoint every 50 steps (docs/benchmarks.md, bench extreme): a first checkpoint has exact
// weights, and moments that no weights lead; those behind it are 22 times smaller than the state, or 75 to 84, names and all.
constexpr double kFirstMoments = 0.018, kNameBytes = 830;  // the latter of each tensor: headers, table, its place in the manifest
struct OfLink {
  double weights, moments;
};
constexpr OfLink kMild{0.101, 0.013}, kAggressive{0.023, 0.0024};

bool is_extreme(const Subject& s) { return s.checkpoint.mode == "extreme"; }

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

// Of a checkpoint that stands alone.
Shares alone_shares(const Subject& s) {
  const std::string& mode = s.checkpoint.mode;
  if (mode == "raw") return {1, 1, 1, 1};
  if (mode == "near_exact") return {kExactShare, kExactShare, near_share(moment_bits(s.checkpoint)), near_share(8)};
  if (mode == "extreme") return {kExactShare, kExactShare, kFirstMoments, near_share(4)};
  return {kExactShare, kExactShare, kExactShare, kExactShare};
}

// Of one of mode extreme that has a base. What is alike on all ranks are anchors, which are coded as weights are, or estimates, exactly.
// Moments in another file than their weights are led by none.
Shares link_shares(const Subject& s, const State& state) {
  const OfLink& link = s.checkpoint.pruning == "aggressive" ? kAggressive : kMild;
  const bool led = state.weights_agree == state.moments_agree;
  return {link.weights, s.exchanges_drifts() ? link.weights : kExactShare, led ? link.moments : kFirstMoments, near_share(4)};
}

double file_bytes(const Subject& s, const State& state, const Shares& shares) {
  const double ranks = s.ranks;
  const double copies_of_weights = state.weights_agree ? 1 : ranks, copies_of_moments = state.moments_agree ? 1 : ranks;
  return shares.weights * copies_of_weights * state.weights + shares.anchors * state.of_all +
         shares.moments * copies_of_moments * state.moments + shares.residuals * ranks * state.of_each_rank;
}

// Codings of rank 0 in memory, all at once; where moments and residuals are levels first, these too.
double written_by_first(const Subject& s, const State& state, const Shares& shares) {
  const double levels = checkpoint::kLevelBytes / kFloat;
  const bool is_near = s.checkpoint.mode == "near_exact";
  return shares.weights * state.weights + shares.anchors * state.of_all + (shares.moments + (is_near ? levels : 0)) * state.moments +
         (shares.residuals + (is_near || is_extreme(s) ? levels : 0)) * state.of_each_rank;
}

int64_t saves_of(const Subject& s) { return s.checkpoint.every == 0 ? 1 : (s.steps + s.checkpoint.every - 1) / s.checkpoint.every; }

// One thread's buffers are within what kExactShare leaves: coding without loss makes a little less.
double coders_bytes(const Subject& s) {
  uint64_t largest = 0;
  for (const auto& slot : s.table.slots()) largest = std::max<uint64_t>(largest, slot.elems());
  const auto bases = static_cast<size_t>(std::min(saves_of(s), kChain) - 1);
  const auto threads = static_cast<double>(s.checkpoint.threads - (is_extreme(s) ? 0 : 1));
  return threads * checkpoint::thread_bytes(s.checkpoint, largest, bases);
}

// While the last save is written, and of chains that are as long as they may be: each that stays has all bases that it can have.
struct Kept {
  int64_t all = 0;
  int64_t first = 0;  // of a chain
};

Kept kept_of(const Subject& s) {
  const checkpoint::CheckpointOptions& options = s.checkpoint;
  const int64_t saves = saves_of(s), bases = checkpoint::uses_base(options) ? static_cast<int64_t>(checkpoint::most_bases(options)) : 0;
  const auto chains_in = [bases](int64_t run) { return (run + bases) / (bases + 1); };  // that begin among so many in a row
  const int64_t newest = options.keep == 0 || options.keep >= saves ? saves : options.keep + 1;
  // Of the saves before those, one in so many has a step that is a multiple of keep_every.
  const bool has_majors = options.keep_every > 0 && options.every > 0;
  const int64_t period = has_majors ? options.keep_every / std::gcd(options.keep_every, options.every) : saves + 1;
  const int64_t older = saves - newest, majors = older / period;
  const int64_t of_major = std::min(period, bases + 1), of_newest = newest + std::min(bases, older - majors * period);
  const int64_t all = majors * of_major + of_newest;
  return {all, period <= bases + 1 ? chains_in(all) : majors + chains_in(of_newest)};
}

}  // namespace

Disk disk_of(const Subject& s) {
  const State state = state_of(s);
  const Shares alone = alone_shares(s);
  Disk disk;
  disk.state_of_rank_bytes = state.weights + state.moments + state.of_each_rank + state.of_all;
  disk.state_bytes = file_bytes(s, state, {1, 1, 1, 1});
  disk.checkpoint_bytes = file_bytes(s, state, alone);
  if (s.checkpoint.mode != "raw") disk.written_by_first_bytes = written_by_first(s, state, alone);
  disk.coders_bytes = coders_bytes(s);
  if (is_extreme(s)) {
    const double names = kNameBytes * static_cast<double>(s.table.slots().size()) * static_cast<double>(1 + s.optimizer_floats);
    disk.checkpoint_bytes += names;
    disk.link_bytes = file_bytes(s, state, link_shares(s, state)) + names;
  }
  const Kept kept = kept_of(s);
  const int64_t behind = is_extreme(s) ? kept.all - kept.first : 0;  // coded exactly against a base one may be as large as alone
  disk.kept = kept.all;
  disk.kept_bytes = static_cast<double>(kept.all - behind) * disk.checkpoint_bytes + static_cast<double>(behind) * disk.link_bytes;
  return disk;
}

}  // namespace thinwire::estimate
