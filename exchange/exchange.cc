#include "exchange/exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <numeric>

#include "base/stopwatch.h"
#include "compressors/dense_kernels.h"
#include "compressors/guards.h"
#include "exchange/rounds/bucket_round.h"

namespace thinwire::exchange {

namespace {

// Copies every piece of `from` that `to` has under the same name.
void carry_over(const std::vector<StatePiece>& from, const std::vector<StatePiece>& to) {
  std::map<std::string, std::span<std::byte>> saved;
  for (const StatePiece& piece : from) saved[piece.name] = piece.memory;
  for (const StatePiece& piece : to) {
    const auto it = saved.find(piece.name);
    if (it == saved.end()) continue;
    check(it->second.size() == piece.memory.size(), "a slot's state keeps its size");
    if (!piece.memory.empty()) std::memcpy(piece.memory.data(), it->second.data(), piece.memory.size());
  }
}

// Square sums of scale * x, and of what goes into the codec: decay * residual + scale * x.
struct Squares {
  double input = 0, offered = 0;
};

Squares squares_of(const compressors::In& in, size_t elems) {
  std::array<float, 1024> block;
  Squares sums;
  const auto square_sum = [&](const compressors::In& of, size_t begin) {
    const auto a = std::span(block).first(std::min(block.size(), elems - begin));
    compressors::accumulate(of, begin, a);
    return compressors::dense_kernels::square_sum(a);
  };
  for (size_t begin = 0; begin < elems; begin += block.size()) {
    const double input = square_sum({.x = in.x, .scale = in.scale}, begin);
    sums.input += input;
    sums.offered += in.residual == nullptr ? input : square_sum(in, begin);
  }
  return sums;
}

}  // namespace

Exchange::Exchange(comm::Driver& driver, SlotTable table, const FeedbackOptions& feedback, bool overlap, uint64_t seed,
                   const std::vector<int>& node_of_rank)
    : driver_(driver), feedback_options_(feedback), seed_(seed), overlap_(overlap) {
  std::vector<int> each_on_its_own(static_cast<size_t>(driver.size()));
  std::iota(each_on_its_own.begin(), each_on_its_own.end(), 0);
  nodes_ = std::make_unique<Nodes>(node_of_rank.empty() ? each_on_its_own : node_of_rank, driver.rank());
  lay_out(std::move(table));
}

Exchange::~Exchange() {
  for (auto& job : posted_) {
    if (job.valid()) job.wait();  // jobs refer to our memory
  }
}

void Exchange::lay_out(SlotTable table) {
  rounds_.clear();
  table_ = std::make_unique<SlotTable>(std::move(table));
  if (nodes_->leads() && loses_anything(*table_)) feedback_ = make_error_feedback(feedback_options_, *table_, seed_);
  values_.assign(table_->total_elems(), 0.0f);
  ready_.assign(table_->slots().size(), false);
  missing_.assign(table_->buckets().size(), 0);
  norms_.resize(table_->slots().size());
  const auto fp32 = std::dynamic_pointer_cast<const compressors::Codec>(compressors::CodecChoice().make());
  for (uint32_t b = 0; b < table_->buckets().size(); ++b) {
    rounds_.push_back(std::make_unique<BucketRound>(*table_, b, *nodes_, fp32, seed_));
  }
}

void Exchange::begin(const RoundInfo& info) {
  check(!open_, "the round before was finished");
  info_ = info;
  info_.dense = info.dense || (feedback_ && feedback_->needs_dense_round());
  open_ = true;
  next_bucket_ = 0;
  posted_.clear();
  times_ = {};
  ready_.assign(ready_.size(), false);
  for (size_t b = 0; b < missing_.size(); ++b) missing_[b] = static_cast<uint32_t>(table_->buckets()[b].slots.size());
}

void Exchange::ready(Slot slot) {
  check(open_, "ready() is called within a round");
  check(!ready_[slot], "a slot is ready once per round");
  ready_[slot] = true;
  --missing_[table_->bucket_of(slot)];
  if (overlap_) post_full_buckets();
}

void Exchange::post_full_buckets() {
  for (; next_bucket_ < missing_.size() && missing_[next_bucket_] == 0; ++next_bucket_) {
    posted_.push_back(driver_.post("exchange of bucket " + std::to_string(next_bucket_),
                                   [this, bucket = next_bucket_, info = info_](comm::Wire& wire) { run_bucket(wire, bucket, info); }));
  }
}

void Exchange::run_bucket(comm::Wire& wire, uint32_t index, const RoundInfo& info) {
  const Bucket& bucket = table_->buckets()[index];
  const auto values = std::span(values_).subspan(bucket.begin, bucket.elems);
  if (samples_) {
    for (size_t i = 0; i < values.size(); ++i) sampled_[bucket.begin + i] += info.scale * values[i];
  }
  const bool measures = measures_ && !info.dense;
  if (measures) note_inputs(bucket, info.scale);
  rounds_[index]->run(wire, info, values, feedback_.get());
  if (measures) note_residual(bucket);
}

void Exchange::note_inputs(const Bucket& bucket, float scale) {
  const float decay = feedback_ ? feedback_->decay() : 0;
  for (const Slot slot : bucket.slots) {
    const auto x = values(slot), e = residual(slot);
    const auto [input, offered] = squares_of({.x = x.data(), .scale = scale, .residual = e.data(), .decay = decay}, x.size());
    norms_[slot] = {offered, 0, std::max(norms_[slot].largest_input, input)};
  }
}

void Exchange::note_residual(const Bucket& bucket) {
  for (const Slot slot : bucket.slots) norms_[slot].residual += compressors::dense_kernels::square_sum(residual(slot));
}

void Exchange::finish() {
  check(open_, "finish() ends a round");
  post_full_buckets();
  check(next_bucket_ == missing_.size(), "every slot is ready when a round is finished");
  const Stopwatch waited;
  for (auto& job : posted_) job.wait();  // all of them: none may refer to our memory when we throw
  for (auto& job : posted_) job.get();
  times_.exposed_s = waited.seconds();
  for (const auto& round : rounds_) times_.encode_s += round->codec_s();
  if (samples_) ++rounds_sampled_;
  open_ = false;
}

void Exchange::sample(bool on, uint64_t rounds) {
  check(!open_, "sampling is switched between rounds");
  if (on) sampled_.assign(values_.size(), 0.0f);
  rounds_sampled_ = on ? rounds : 0;
  if (!on) std::vector<float>().swap(sampled_);
  samples_ = on;
}

std::vector<StatePiece> Exchange::state() {
  std::vector<StatePiece> pieces;
  if (feedback_) {
    for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
      for (StatePiece& piece : feedback_->state(slot)) pieces.push_back(std::move(piece));
    }
  }
  for (const auto& round : rounds_) {
    if (!nodes_->leads()) break;
    for (StatePiece& piece : round->state(feedback_ != nullptr)) pieces.push_back(std::move(piece));
  }
  if (!nodes_->flat()) {
    for (StatePiece& piece : pieces) piece.same_on_all_ranks = false;  // those that lead no node have none
  }
  for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
    const SlotSpec& spec = table_->slots()[slot];
    if (samples_) {
      const auto sum = std::span(sampled_).subspan(table_->offset(slot), spec.elems());
      pieces.push_back({.name = "sampled/" + spec.name, .slot = slot, .memory = std::as_writable_bytes(sum)});
    }
    if (measures_) {
      pieces.push_back({.name = "largest_input/" + spec.name,
                        .slot = slot,
                        .slot_shaped = false,
                        .dtype = DType::f64,
                        .memory = std::as_writable_bytes(std::span(&norms_[slot].largest_input, 1))});
    }
  }
  return pieces;
}

double Exchange::wire_s_per_byte(Slot slot) const { return rounds_[table_->bucket_of(slot)]->wire_s_per_byte(); }

int Exchange::senders() const { return nodes_->num_leaders(); }

void Exchange::rebuild(SlotTable table) {
  check(!open_ && !samples_, "a plan changes between rounds");
  check(table.slots().size() == table_->slots().size(), "a plan is of the same slots");
  // The mean lacks what an owner owes: as much as if its own numbers had been short of N times that.
  if (feedback_) {
    for (const auto& round : rounds_) {
      const auto [begin, mean] = round->owed();
      std::vector<float> owed(mean.begin(), mean.end());
      for (float& x : owed) x *= static_cast<float>(nodes_->num_leaders());
      feedback_->take_back(begin, owed);
    }
  }
  const auto old_table = std::move(table_);
  const auto old_feedback = std::move(feedback_);
  const auto old_rounds = std::move(rounds_);
  rounds_.clear();
  lay_out(std::move(table));
  // A plan that loses nothing sends what is left over from the one before.
  if (old_feedback && !feedback_) feedback_ = make_error_feedback(feedback_options_, *table_, seed_);
  for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
    const SlotSpec &before = old_table->slots()[slot], &now = table_->slots()[slot];
    check(before.name == now.name && before.elems() == now.elems(), "a plan is of the same slots");
    if (old_feedback) carry_over(old_feedback->state(slot), feedback_->state(slot));
    if (before.codec != now.codec) continue;
    const auto from = old_rounds[old_table->bucket_of(slot)]->memory(slot), to = rounds_[table_->bucket_of(slot)]->memory(slot);
    std::copy(from.begin(), from.end(), to.begin());
  }
}

}  // namespace thinwire::exchange
