#include "exchange/exchange.h"

#include <chrono>

#include "exchange/bucket_round.h"

namespace thinwire::exchange {

Exchange::Exchange(comm::Driver& driver, SlotTable table, const FeedbackOptions& feedback, bool overlap, uint64_t seed)
    : driver_(driver),
      table_(std::move(table)),
      feedback_(make_error_feedback(feedback, table_)),
      values_(table_.total_elems(), 0.0f),
      overlap_(overlap),
      ready_(table_.slots().size(), false),
      missing_(table_.buckets().size(), 0) {
  const std::shared_ptr<const compressors::Codec> dense = compressors::CodecChoice().make();
  for (uint32_t b = 0; b < table_.buckets().size(); ++b) {
    rounds_.push_back(std::make_unique<BucketRound>(table_, b, driver_.size(), dense, seed));
  }
}

Exchange::~Exchange() {
  for (auto& job : posted_) {
    if (job.valid()) job.wait();  // jobs refer to our memory
  }
}

void Exchange::begin(const RoundInfo& info) {
  check(!open_, "the round before was finished");
  info_ = info;
  open_ = true;
  next_bucket_ = 0;
  posted_.clear();
  times_ = {};
  ready_.assign(ready_.size(), false);
  for (size_t b = 0; b < missing_.size(); ++b) missing_[b] = static_cast<uint32_t>(table_.buckets()[b].slots.size());
}

void Exchange::ready(Slot slot) {
  check(open_, "ready() is called within a round");
  check(!ready_[slot], "a slot is ready once per round");
  ready_[slot] = true;
  --missing_[table_.bucket_of(slot)];
  if (overlap_) post_full_buckets();
}

void Exchange::post_full_buckets() {
  for (; next_bucket_ < missing_.size() && missing_[next_bucket_] == 0; ++next_bucket_) {
    const Bucket& bucket = table_.buckets()[next_bucket_];
    const auto values = std::span(values_).subspan(bucket.begin, bucket.elems);
    posted_.push_back(driver_.post("exchange of bucket " + std::to_string(next_bucket_),
                                   [this, round = rounds_[next_bucket_].get(), info = info_, values](comm::Wire& wire) {
                                     round->run(wire, info, values, info.dense ? nullptr : feedback_.get());
                                   }));
  }
}

void Exchange::finish() {
  check(open_, "finish() ends a round");
  post_full_buckets();
  check(next_bucket_ == missing_.size(), "every slot is ready when a round is finished");
  const auto start = std::chrono::steady_clock::now();
  for (auto& job : posted_) job.wait();  // all of them: none may refer to our memory when we throw
  for (auto& job : posted_) job.get();
  times_.exposed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& round : rounds_) times_.encode_s += round->encode_s();
  open_ = false;
}

}  // namespace thinwire::exchange
