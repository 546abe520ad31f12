// One bucket's side of a feedback policy, or of none: the flat range it covers, and what the policy holds while a round is under way.
//
// Each bucket has its own, so that several may be on their way at once. Calls in the order of ErrorFeedback's.
#pragma once
#include "exchange/feedback/feedback.h"

namespace thinwire::exchange {

class BucketFeedback {
 public:
  // Without a policy: numbers are encoded as scale * x, and errors are dropped.
  explicit BucketFeedback(float scale) { open_.scale = scale; }
  BucketFeedback(ErrorFeedback* policy, size_t begin) : policy_(policy) { open_.begin = begin; }

  void use(ErrorFeedback* policy) { policy_ = policy; }
  bool keeps() const { return policy_ != nullptr; }
  float decay() const { return policy_ != nullptr ? policy_->decay() : 1; }
  bool wants_decoded() const { return policy_ != nullptr && policy_->wants_decoded(); }
  bool dense_settles() const { return policy_ != nullptr && policy_->dense_settles(); }

  // What all ranks together still have to send, from `at` in the bucket on.
  void take_back(size_t at, std::span<const float> owed) {
    if (policy_ != nullptr) policy_->take_back(open_.begin + at, owed);
  }
  // `finite`: scale * x + decay * residual is known to be.
  void open(std::span<float> x, float scale, bool finite) {
    open_.scale = scale;
    if (policy_ != nullptr) policy_->open(open_, x);
    finite_ = finite && (policy_ == nullptr || policy_->offers_as_given());
  }
  // `at`: of the part, in the bucket.
  Offer in(Slot slot, size_t at, const float* x) {
    return (policy_ != nullptr ? policy_->in(open_, slot, at, x) : Offer{{x, open_.scale, nullptr, 1}}).known(finite_);
  }
  void sent(size_t elems, std::span<const float> decoded) {
    if (policy_ != nullptr) policy_->sent(open_, elems, decoded);
  }
  void received(std::span<float> mean) {
    if (policy_ != nullptr) policy_->received(open_, mean);
  }
  void dense(std::span<const float> x, float scale) {
    open_.scale = scale;
    if (policy_ != nullptr) policy_->dense(open_, x);
  }
  void dense_received(std::span<const float> mean) {
    if (policy_ != nullptr) policy_->dense_received(open_, mean);
  }

 private:
  ErrorFeedback* policy_ = nullptr;
  OpenRange open_;
  bool finite_ = false;
};

}  // namespace thinwire::exchange
