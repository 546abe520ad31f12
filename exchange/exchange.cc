#include "exchange/exchange.h"

#include <algorithm>
#include <numeric>

#include "base/trace.h"
#include "exchange/rounds/bucket_round.h"

namespace thinwire::exchange {

Exchange::Exchange(comm::Driver& driver, SlotTable table, const FeedbackOptions& feedback, bool overlap, uint64_t seed,
                   const std::vector<int>& node_of_rank, Residence& residence)
    : driver_(driver),
      feedback_options_(feedback),
      seed_(seed),
      overlap_(overlap),
      residence_(residence),
      placement_(residence, driver.bulk_lanes()) {
  std::vector<int> each_on_its_own(static_cast<size_t>(driver.size()));
  std::iota(each_on_its_own.begin(), each_on_its_own.end(), 0);
  nodes_ = std::make_unique<Nodes>(node_of_rank.empty() ? each_on_its_own : node_of_rank, driver.rank());
  lay_out(std::move(table));
}

Exchange::~Exchange() {
  for (auto& task : tasks_) driver_.settle(task);  // they refer to our memory
  placement_.drain();                              // likewise
}

void Exchange::lay_out(SlotTable table) {
  tasks_.clear();
  rounds_.clear();
  table_ = std::make_unique<SlotTable>(std::move(table));
  values_ = Array();  // first, as there may not be room for both
  values_ = Array(residence_, table_->total_elems());
  ready_.assign(table_->slots().size(), false);
  missing_.assign(table_->buckets().size(), 0);
  norms_.resize(table_->slots().size());
  measured_.resize(table_->slots().size());
  squares_.resize(table_->slots().size());
  norm_holds_.assign(table_->slots().size(), false);
  open_.assign(table_->num_fragments(), {});
  const auto fp32 = std::dynamic_pointer_cast<const compressors::Codec>(compressors::CodecChoice().make());
  placement_.lay_out(*table_, *fp32, why_all_through_host());
  for (uint32_t b = 0; b < table_->buckets().size(); ++b) {
    rounds_.push_back(
        std::make_unique<BucketRound>(*table_, b, *nodes_, fp32, seed_, placement_.make_courier(b, seed_), placement_.home_of(b)));
    tasks_.emplace_back("exchange of bucket " + std::to_string(b), [this, b](comm::Wire& wire) { run_bucket(wire, b); });
    open_[table_->buckets()[b].fragment].buckets.push_back(b);
  }
  if (nodes_->leads() && loses_anything(*table_)) keep_feedback();
}

void Exchange::keep_feedback() {
  feedback_ =
      make_error_feedback(feedback_options_, *table_, seed_, [this](uint32_t bucket) -> Residence& { return placement_.home_of(bucket); });
}

std::string Exchange::why_all_through_host() const {
  if (!nodes_->flat()) return "ranks of a host add up first";
  if (works_on_devices(feedback_options_)) return "";
  const std::string state = feedback_options_.name == "ef14" ? " of state " + feedback_options_.state : "";
  return "error feedback " + feedback_options_.name + state + " works there";
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
  const uint32_t bucket = table_->bucket_of(slot);
  if (--missing_[bucket] == 0) placement_.computed(bucket);
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
  const auto values = flat().subspan(bucket.begin, bucket.elems);
  run_round(wire, index, placement_.bring(index, values));
  placement_.put_back(index, values);
}

void Exchange::run_round(comm::Wire& wire, uint32_t index, std::span<float> values) {
  const Bucket& bucket = table_->buckets()[index];
  const RoundInfo& info = open_[bucket.fragment].info;
  if (samples_) note_samples(index, info.scale, values);
  const bool measures = measures_ && !info.dense;
  for (const Slot slot : bucket.slots) measured_[slot] = norms_[slot];
  const bool finite = measures && note_inputs(index, info.scale, values);
  rounds_[index]->run(wire, info, values, feedback_.get(), finite);
  if (measures) note_residual(index);
}

void Exchange::note_samples(uint32_t index, float scale, std::span<const float> values) {
  std::vector<float> copy;
  float* const sums = sampled_.data() + table_->buckets()[index].begin;
  values = placement_.read(index, values, copy);
  for (size_t i = 0; i < values.size(); ++i) sums[i] += scale * values[i];
}

bool Exchange::note_inputs(uint32_t index, float scale, std::span<const float> values) {
  const Bucket& bucket = table_->buckets()[index];
  const float decay = feedback_ ? feedback_->decay() : 0;
  bool finite = true;
  for (const Slot slot : bucket.slots) {
    std::vector<float> unpacked;
    const auto x = values.subspan(table_->offset(slot) - bucket.begin, table_->slots()[slot].elems());
    const auto e = feedback_ ? feedback_->residual(slot, unpacked) : std::span<float>();
    const compressors::In offered = {.x = x.data(), .scale = scale, .residual = e.data(), .decay = decay};
    finite &= rounds_[index]->courier().measure(offered, x.size(), squares_[slot]);
  }
  return finite;
}

void Exchange::note_residual(uint32_t index) {
  const Bucket& bucket = table_->buckets()[index];
  Courier& courier = rounds_[index]->courier();
  for (const Slot slot : bucket.slots) {
    std::vector<float> unpacked;
    measured_[slot] = {squares_[slot].offered, 0, std::max(norms_[slot].largest_input, squares_[slot].input)};
    if (feedback_) courier.measure(feedback_->residual(slot, unpacked), measured_[slot].residual);
  }
  courier.settle();
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
    for (const Slot slot : table_->buckets()[b].slots) {
      norms_[slot] = measured_[slot];
      norm_holds_[slot] = measures_ && !round.info.dense;
    }
  }
  const double wire_s = driver_.counters().busy_s - round.wire_busy_before_s;
  times_.wire_s_per_byte = sent_bytes == 0 ? 0 : wire_s / static_cast<double>(sent_bytes);
  if (samples_ && fragment + 1 == open_.size()) ++rounds_sampled_;
  round.is_open = false;
}

void Exchange::sample(bool on, uint64_t rounds) {
  check(!any_open(), "sampling is switched between rounds");
  if (on) sampled_.assign(table_->total_elems(), 0.0f);
  rounds_sampled_ = on ? rounds : 0;
  if (!on) std::vector<float>().swap(sampled_);
  samples_ = on;
}

int Exchange::senders() const { return nodes_->num_leaders(); }

}  // namespace thinwire::exchange
