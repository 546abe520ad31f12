// The exchange: numbers of all ranks in, their mean out, compressed on the way.
//
//   begin(info); ready(slot)...; finish();
//
// The caller writes a slot's numbers into values(slot), calls ready(slot), and after finish() finds the mean over all ranks in the same
// place: bit for bit the same on every rank. Buckets are handed to the communication thread as they fill, in a fixed order.
//
// Threads: one training thread calls everything; values(slot) belongs to the communication thread from ready(slot) until finish()
// returns. Nothing but finish() waits. Errors of the round (a peer gone, corrupt bytes, a non-finite number) are thrown by finish(); the
// exchange cannot be used afterwards.
#pragma once
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <vector>

#include "comm/driver.h"
#include "exchange/error_feedback.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

struct RoundInfo {
  uint64_t step = 0;
  float scale = 1;     // every number is multiplied by it before it is compressed
  bool dense = false;  // this round without codecs (warm-up); residuals are left alone
};

struct RoundTimes {
  double encode_s = 0;   // in codecs, on the communication thread
  double exposed_s = 0;  // what finish() waited
};

class Exchange {
 public:
  Exchange(comm::Driver& driver, SlotTable table, const FeedbackOptions& feedback, bool overlap, uint64_t seed);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const SlotTable& table() const { return table_; }
  std::span<float> flat() { return values_; }  // all slots, in the table's flat order
  std::span<float> values(Slot slot) { return std::span(values_).subspan(table_.offset(slot), table_.slots()[slot].elems()); }

  void begin(const RoundInfo& info);
  void ready(Slot slot);  // once per slot and round
  bool is_ready(Slot slot) const { return ready_[slot]; }
  void finish();  // all slots must be ready

  const RoundTimes& last_times() const { return times_; }
  std::span<float> residual(Slot slot) { return feedback_->state(slot); }
  comm::Driver& driver() { return driver_; }

 private:
  class BucketRound;  // one bucket's way over the wire
  void post_full_buckets();

  comm::Driver& driver_;
  SlotTable table_;
  std::unique_ptr<ErrorFeedback> feedback_;
  std::vector<float> values_;
  std::vector<std::unique_ptr<BucketRound>> rounds_;
  bool overlap_;

  RoundInfo info_;
  bool open_ = false;
  std::vector<bool> ready_;
  std::vector<uint32_t> missing_;  // slots per bucket that are not ready
  uint32_t next_bucket_ = 0;       // buckets before it are posted
  std::vector<std::future<void>> posted_;
  RoundTimes times_;
};

}  // namespace thinwire::exchange
