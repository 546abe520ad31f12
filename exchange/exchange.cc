#include "exchange/exchange.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "base/trace.h"
#include "compressors/dense_kernels.h"
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
  for (auto& task : tasks_) driver_.settle(task);  // they refer to our memory
}

void Exchange::lay_out(SlotTable table) {
  tasks_.clear();
  rounds_.clear();
  table_ = std::make_unique<SlotTable>(std::move(table));
  if (nodes_->leads() && loses_anything(*table_)) feedback_ = make_error_feedback(feedback_options_, *table_, seed_);
  values_.assign(table_->total_elems(), 0.0f);
  ready_.assign(table_->slots().size(), false);
  missing_.assign(table_->buckets().size(), 0);
  norms_.resize(table_->slots().size());
  measured_.resize(table_->slots().size());
  open_.assign(table_->num_fragments(), {});
  const auto fp32 = std::dynamic_pointer_cast<const compressors::Codec>(compressors::CodecChoice().make());
  for (uint32_t b = 0; b < table_->buckets().size(); ++b) {
    rounds_.push_back(std::make_unique<BucketRound>(*table_, b, *nodes_, fp32, seed_));
    tasks_.emplace_back("exchange of bucket " + std::to_string(b), [this, b](comm::Wire& wire) { run_bucket(wire, b); });
    open_[table_->buckets()[b].fragment].buckets.push_back(b);
  }
}

bool Exchange::any_open() const {
  return std::any_of(open_.begin(), open_.end(), [](const OpenRound& round) { return round.is_open; });
}

bool Exchange::needs_dense_round(uint32_t fragment) const {
  if (!feedback_) return false;
  const auto& buckets = open_[fragment].buckets;
  return std::any_of(buckets.begin(), buckets.end(), [this](uint32_t b) {
    const auto& slots = table_->buckets()[b].slots;
    return std::any_of(slots.begin(), slots.end(), [this](Slot slot) { return feedback_->needs_dense_round(slot); });
  });
}

void Exchange::begin(const RoundInfo& info, uint32_t fragment) {
  OpenRound& round = open_[fragment];
  check(!round.is_open, "the round before was finished");
  round.info = info;
  round.info.dense = info.dense || needs_dense_round(fragment);
  round.is_open = true;
  round.num_posted = 0;
  round.wire_busy_before_s = driver_.counters().busy_s;
  for (const uint32_t b : round.buckets) {
    missing_[b] = static_cast<uint32_t>(table_->buckets()[b].slots.size());
    for (const Slot slot : table_->buckets()[b].slots) ready_[slot] = false;
  }
}

void Exchange::ready(Slot slot) {
  OpenRound& round = open_[table_->slots()[slot].fragment];
  check(round.is_open, "ready() is called within a round");
  check(!ready_[slot], "a slot is ready once per round");
  ready_[slot] = true;
  --missing_[table_->bucket_of(slot)];
  if (overlap_) post_full_buckets(round);
}

void Exchange::post_full_buckets(OpenRound& round) {
  for (; round.num_posted < round.buckets.size(); ++round.num_posted) {
    const uint32_t bucket = round.buckets[round.num_posted];
    if (missing_[bucket] != 0) return;
    driver_.post(tasks_[bucket], driver_.bulk_lane(bucket));
  }
}

void Exchange::run_bucket(comm::Wire& wire, uint32_t index) {
  const Bucket& bucket = table_->buckets()[index];
  const RoundInfo& info = open_[bucket.fragment].info;
  const auto values = std::span(values_).subspan(bucket.begin, bucket.elems);
  if (residence_ != nullptr) residence_->fetch_gradients(bucket.begin, values);
  if (samples_) {
    for (size_t i = 0; i < values.size(); ++i) sampled_[bucket.begin + i] += info.scale * values[i];
  }
  const bool measures = measures_ && !info.dense;
  for (const Slot slot : bucket.slots) measured_[slot] = norms_[slot];
  if (measures) note_inputs(bucket, info.scale);
  rounds_[index]->run(wire, info, values, feedback_.get());
  if (residence_ != nullptr) residence_->store_gradients(bucket.begin, values);
  if (measures) note_residual(bucket);
}

void Exchange::note_inputs(const Bucket& bucket, float scale) {
  const float decay = feedback_ ? feedback_->decay() : 0;
  for (const Slot slot : bucket.slots) {
    std::vector<float> unpacked;
    const auto x = values(slot), e = feedback_ ? feedback_->residual(slot, unpacked) : std::span<float>();
    const auto [input, offered] = squares_of({.x = x.data(), .scale = scale, .residual = e.data(), .decay = decay}, x.size());
    measured_[slot] = {offered, 0, std::max(norms_[slot].largest_input, input)};
  }
}

void Exchange::note_residual(const Bucket& bucket) {
  if (!feedback_) return;
  std::vector<float> unpacked;
  for (const Slot slot : bucket.slots)
    measured_[slot].residual = compressors::dense_kernels::square_sum(feedback_->residual(slot, unpacked));
}

void Exchange::join(OpenRound& round) {
  post_full_buckets(round);
  check(round.num_posted == round.buckets.size(), "every slot is ready when a round is waited for");
  for (const uint32_t b : round.buckets) driver_.settle(tasks_[b]);  // all of them: none may refer to our memory when we throw
  for (const uint32_t b : round.buckets) driver_.wait(tasks_[b]);
}

void Exchange::join() {
  for (OpenRound& round : open_) {
    if (round.is_open) join(round);
  }
}

void Exchange::reopen(uint32_t fragment) {
  OpenRound& round = open_[fragment];
  check(!round.is_open, "a round that is resumed is not open yet");
  round.is_open = true;
  round.num_posted = round.buckets.size();
  round.wire_busy_before_s = driver_.counters().busy_s;
}

void Exchange::finish(uint32_t fragment) {
  OpenRound& round = open_[fragment];
  check(round.is_open, "finish() ends a round");
  trace::Span waits(trace::Lane::exposed, "fragment", fragment);
  join(round);
  times_ = {.exposed_s = waits.end()};
  uint64_t sent_bytes = 0;
  for (const uint32_t b : round.buckets) {
    times_.encode_s += rounds_[b]->codec_s();
    sent_bytes += rounds_[b]->sent_bytes();
    for (const Slot slot : table_->buckets()[b].slots) norms_[slot] = measured_[slot];
  }
  const double wire_s = driver_.counters().busy_s - round.wire_busy_before_s;
  times_.wire_s_per_byte = sent_bytes == 0 ? 0 : wire_s / static_cast<double>(sent_bytes);
  if (samples_ && fragment + 1 == open_.size()) ++rounds_sampled_;
  round.is_open = false;
}

double Exchange::residual_norm() {
  double squares = 0;
  for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
    if (!is_open(table_->slots()[slot].fragment)) squares += compressors::dense_kernels::square_sum(residual(slot));
  }
  return std::sqrt(squares);
}

void Exchange::sample(bool on, uint64_t rounds) {
  check(!any_open(), "sampling is switched between rounds");
  if (on) sampled_.assign(values_.size(), 0.0f);
  rounds_sampled_ = on ? rounds : 0;
  if (!on) std::vector<float>().swap(sampled_);
  samples_ = on;
}

std::vector<StatePiece> Exchange::state() {
  std::vector<StatePiece> pieces;
  for (Slot slot = 0; feedback_ && slot < table_->slots().size(); ++slot)
    std::ranges::move(feedback_->state(slot), std::back_inserter(pieces));
  return state(std::move(pieces));
}

std::vector<StatePiece> Exchange::state_to_regroup() {
  std::vector<StatePiece> pieces;
  for (Slot slot = 0; feedback_ && slot < table_->slots().size(); ++slot)
    std::ranges::move(feedback_->state_to_regroup(slot), std::back_inserter(pieces));
  return state(std::move(pieces));
}

void Exchange::regrouped() {
  if (feedback_) feedback_->regrouped();
}

std::vector<StatePiece> Exchange::state(std::vector<StatePiece> pieces) {
  for (const auto& round : rounds_) {
    if (!nodes_->leads()) break;
    for (StatePiece& piece : round->state(feedback_ != nullptr)) pieces.push_back(std::move(piece));
  }
  for (StatePiece& piece : pieces) {
    if (piece.same_on_all_ranks) piece.regroup = Regroup::same;
    if (nodes_->flat()) continue;
    piece.same_on_all_ranks = false;  // those that lead no node have none
    piece.keeper = nodes_->leader_index();
    piece.keepers = nodes_->num_leaders();
  }
  for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
    const SlotSpec& spec = table_->slots()[slot];
    if (samples_) {
      const auto sum = std::span(sampled_).subspan(table_->offset(slot), spec.elems());
      pieces.push_back({.name = "sampled/" + spec.name, .slot = slot, .memory = std::as_writable_bytes(sum)});
    }
    if (!measures_) continue;
    for (auto& [what, norms] : {std::pair("norms/", &norms_[slot]), std::pair("measured/", &measured_[slot])}) {
      pieces.push_back({.name = what + spec.name,
                        .slot = slot,
                        .slot_shaped = false,
                        .dtype = DType::f64,
                        .memory = std::as_writable_bytes(std::span(norms, 1))});
    }
  }
  return pieces;
}

int Exchange::senders() const { return nodes_->num_leaders(); }

void Exchange::rebuild(SlotTable table) {
  check(!any_open() && !samples_, "a plan changes between rounds");
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
