#include "exchange/rounds/sketch_sum.h"

#include <algorithm>
#include <cmath>

#include "base/trace.h"
#include "compressors/guards.h"

namespace thinwire::exchange {

using compressors::In;
using compressors::Layer;

namespace {
constexpr uint32_t kNoSlot = UINT32_MAX;
}

SketchSum::SketchSum(const SlotTable& table, const Bucket& bucket, int num_ranks, std::shared_ptr<const compressors::Codec> fp32)
    : fp32_(std::move(fp32)) {
  std::vector<size_t> totals;
  for (const Slot slot : bucket.slots) {
    const SlotSpec& spec = table.slots()[slot];
    const auto* sketch = dynamic_cast<const compressors::Sketch*>(spec.codec.get());
    check(sketch != nullptr, "the slot of a bucket of sketches has a sketch");
    const Layer layer{slot, spec.rows, spec.cols};
    members_.push_back({sketch, layer, table.offset(slot) - bucket.begin, sketch->round_elems(layer),
                        std::vector<float>(sketch->memory_elems(layer), 0.0f)});
    const auto& rounds = members_.back().round_elems;
    if (totals.size() < rounds.size()) totals.resize(rounds.size(), 0);
    for (size_t j = 0; j < rounds.size(); ++j) totals[j] += rounds[j];
  }
  for (size_t j = 0; j < totals.size(); ++j) {
    const Piece all{fp32_.get(), Layer{kNoSlot, 1, static_cast<int64_t>(totals[j])}, 0};
    rounds_.push_back(std::make_unique<TwoShot>(std::vector<Piece>{all}, num_ranks, static_cast<uint16_t>(2 * j)));
    parts_by_round_.push_back(parts_of_round(j));
  }
}

void SketchSum::start(const Draw& shared) {
  for (Member& member : members_) member.sketch->start(member.layer, shared.fork(member.layer.id), member.memory);
}

std::vector<SketchSum::Part> SketchSum::parts_of_round(size_t round) const {
  std::vector<Part> parts;
  size_t begin = 0;
  for (size_t m = 0; m < members_.size(); ++m) {
    if (round >= members_[m].round_elems.size()) continue;
    parts.push_back({m, begin});
    begin += members_[m].round_elems[round];
  }
  return parts;
}

// Values become what is to be sketched: with feedback its sum with the residual, else scale * x.
void SketchSum::form_sum(HostCourier& courier, std::span<float> values, BucketFeedback& feedback) {
  for (Member& member : members_) {
    const auto x = values.subspan(member.begin, member.elems());
    const In in = feedback.in(member.layer.id, member.begin, x.data());
    courier.require_finite({fp32_.get(), member.layer, member.begin}, in);
    member.residual = in.residual;
    sum_.resize(x.size());
    compressors::accumulate(in, 0, sum_);
    std::ranges::copy(sum_, x.begin());
  }
}

void SketchSum::run(comm::Wire& wire, HostCourier& courier, std::span<float> values, BucketFeedback& feedback) {
  form_sum(courier, values, feedback);
  decoded_.assign(values.size(), 0.0f);
  for (size_t j = 0; j < rounds_.size(); ++j) {
    const auto& parts = parts_by_round_[j];
    const int round = static_cast<int>(j);
    own_parts_.assign(rounds_[j]->owned_begin(wire.size()), 0.0f);
    trace::Span produces(trace::Lane::encode, "sketches, round", round);
    for (const auto& [index, at] : parts) {
      Member& member = members_[index];
      const auto time = courier.time_codec();
      auto& context = courier.context(member.sketch->traits(member.layer).scratch_bytes);
      member.sketch->produce(member.layer, round, values.data() + member.begin, member.memory, context,
                             std::span(own_parts_).subspan(at, member.round_elems[j]));
    }
    produces.end();
    parts_ = own_parts_;
    BucketFeedback none(1);
    rounds_[j]->run(wire, courier, parts_, none);
    const trace::Span absorbs(trace::Lane::decode, "sketches, round", round);
    for (const auto& [index, at] : parts) {
      Member& member = members_[index];
      const auto time = courier.time_codec();
      const auto mean = std::span<const float>(parts_).subspan(at, member.round_elems[j]);
      auto& context = courier.context(member.sketch->traits(member.layer).scratch_bytes);
      member.sketch->absorb(member.layer, round, mean, member.memory, context);
      if (j + 1 == member.round_elems.size()) {
        decode(courier, member, std::span<const float>(own_parts_).subspan(at, mean.size()), mean, values);
      }
    }
  }
  feedback.sent(values.size(), decoded_);
}

// Members end their rounds at different times; what is kept is this rank's own share, whose mean over ranks is the result.
void SketchSum::decode(HostCourier& courier, const Member& member, std::span<const float> own, std::span<const float> mean,
                       std::span<float> values) {
  const auto a = values.subspan(member.begin, member.elems());
  const auto share = std::span(decoded_).subspan(member.begin, member.elems());
  auto& context = courier.context(member.sketch->traits(member.layer).scratch_bytes);
  member.sketch->decode_add(member.layer, own, member.memory, 1, share.data(), context);
  if (member.residual != nullptr) {
    for (size_t i = 0; i < a.size(); ++i) member.residual[i] = compressors::left_of(a[i], share[i]);
  }
  std::ranges::fill(a, 0.0f);
  member.sketch->decode_add(member.layer, mean, member.memory, 1, a.data(), context);
}

}  // namespace thinwire::exchange
