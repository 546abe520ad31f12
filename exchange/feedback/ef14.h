// EF14: the error of a round is added to what the next one sends. Each bucket's errors live where its numbers do.
#pragma once
#include "exchange/feedback/feedback.h"
#include "exchange/kept.h"

namespace thinwire::exchange {

class Ef14 final : public ErrorFeedback {
 public:
  Ef14(const SlotTable& table, double decay, HomeOf home_of);
  void open(OpenRange&, std::span<float>) override {}
  Offer in(OpenRange& range, Slot slot, size_t at, const float* x) override {
    return residuals_[table_.bucket_of(slot)].offer(at, x, range.scale, decay_);
  }
  bool offers_as_given() const override { return true; }
  void sent(OpenRange& range, size_t elems, std::span<const float>) override;  // encode() has updated the residual in its own pass
  void received(OpenRange&, std::span<float>) override {}
  void dense(OpenRange&, std::span<const float>) override {}  // residuals wait for the next compressed round
  void dense_received(OpenRange&, std::span<const float>) override {}
  float decay() const override { return decay_; }
  void take_back(size_t begin, std::span<const float> owed) override;
  std::vector<StatePiece> state(Slot slot) override;
  std::span<float> residual(Slot slot, std::vector<float>&) override { return of(slot); }

 private:
  std::span<float> of(Slot slot) {
    const Bucket& bucket = table_.buckets()[table_.bucket_of(slot)];
    return residuals_[table_.bucket_of(slot)].now().subspan(table_.offset(slot) - bucket.begin, table_.slots()[slot].elems());
  }

  const SlotTable& table_;
  float decay_;
  std::vector<Kept> residuals_;  // by bucket
};

}  // namespace thinwire::exchange
