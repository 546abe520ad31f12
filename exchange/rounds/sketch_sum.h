// Rounds of a sketch: the parts of all slots of the bucket travel together, so a bucket costs a few large messages, not many small ones.
//
// Round j averages the j-th parts over ranks, in fp32 and in rank order: a two-shot of codec none, under the legs 2 j and 2 j + 1.
#pragma once
#include <memory>

#include "compressors/sketch.h"
#include "exchange/rounds/host_courier.h"
#include "exchange/rounds/two_shot.h"

namespace thinwire::exchange {

class SketchSum {
 public:
  SketchSum(const SlotTable& table, const Bucket& bucket, int num_ranks, std::shared_ptr<const compressors::Codec> fp32);
  // As TwoShot::run.
  void run(comm::Wire& wire, HostCourier& courier, std::span<float> values, BucketFeedback& feedback);

  // What slot `index` of the bucket keeps from round to round: the same on all ranks.
  std::span<float> memory(size_t index) { return members_[index].memory; }
  void start(const Draw& shared);  // fills the memories, before the first run

 private:
  struct Member {
    const compressors::Sketch* sketch;
    compressors::Layer layer;
    size_t begin;  // in values
    std::vector<size_t> round_elems;
    std::vector<float> memory;
    float* residual = nullptr;  // of this run, where the policy keeps one
    size_t elems() const { return static_cast<size_t>(layer.elems()); }
  };
  struct Part {
    size_t member;  // index
    size_t begin;   // in the round's parts
  };
  std::vector<Part> parts_of_round(size_t round) const;
  void form_sum(HostCourier& courier, std::span<float> values, BucketFeedback& feedback);
  void decode(HostCourier& courier, const Member& member, std::span<const float> own, std::span<const float> mean, std::span<float> values);

  std::vector<Member> members_;
  std::shared_ptr<const compressors::Codec> fp32_;
  std::vector<std::unique_ptr<TwoShot>> rounds_;
  std::vector<std::vector<Part>> parts_by_round_;
  std::vector<float> parts_, own_parts_;  // of the round at hand
  std::vector<float> sum_, decoded_;      // of one member; of this rank's message
};

}  // namespace thinwire::exchange
