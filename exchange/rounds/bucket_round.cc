#include "exchange/rounds/bucket_round.h"

namespace thinwire::exchange {

using compressors::Combine;

namespace {
using Way = std::variant<TwoShot, Gather, SketchSum>;

Way way_of(const SlotTable& table, const Bucket& bucket, int num_ranks, const std::shared_ptr<const compressors::Codec>& fp32,
           Residence& home) {
  switch (bucket.combine) {
    case Combine::reencode: return Way(std::in_place_type<TwoShot>, whole_pieces(table, bucket), num_ranks, uint16_t{0}, home);
    case Combine::gather: return Way(std::in_place_type<Gather>, whole_pieces(table, bucket), num_ranks);
    case Combine::sketch: return Way(std::in_place_type<SketchSum>, table, bucket, num_ranks, fp32);
  }
  check(false, "a bucket combines in one of the three ways");
  return way_of(table, bucket, num_ranks, fp32, home);
}
}  // namespace

BucketRound::BucketRound(const SlotTable& table, uint32_t bucket, const Nodes& nodes, std::shared_ptr<const compressors::Codec> fp32,
                         uint64_t seed, std::unique_ptr<Courier> elsewhere, Residence& home)
    : table_(table),
      nodes_(nodes),
      bucket_(table.buckets()[bucket]),
      dense_pieces_(whole_pieces(table, bucket_, fp32.get())),
      fp32_(std::move(fp32)),
      host_(table, bucket, seed),
      elsewhere_(std::move(elsewhere)),
      home_(home),
      way_(way_of(table, bucket_, nodes.num_leaders(), fp32_, home)),
      feedback_(nullptr, bucket_.begin) {
  if (auto* sketches = std::get_if<SketchSum>(&way_)) sketches->start(Draw(seed).fork("sketch").fork(table.version()));
}

void BucketRound::run(comm::Wire& wire, const RoundInfo& info, std::span<float> values, ErrorFeedback* feedback, bool finite) {
  const uint64_t sent_before = wire.counters().sent_bytes;
  feedback_.use(feedback);
  if (nodes_.flat()) {
    combine(wire, info, values, finite);
  } else {
    // In a node's sum nobody could tell whose number it was.
    host_.begin(info, wire);
    for (const Piece& piece : dense_pieces_) {
      host_.require_finite(piece, {values.data() + piece.begin, info.scale});
    }
    // The leader's sum is what is encoded; `scale` applies to it as to any other numbers.
    nodes_.reduce(wire, values, from_node_);
    if (nodes_.leads()) {
      comm::Wire leaders = nodes_.leaders(wire);
      combine(leaders, info, values, false);
    }
    nodes_.spread(wire, values);
  }
  sent_bytes_ = wire.counters().sent_bytes - sent_before;
}

void BucketRound::combine(comm::Wire& wire, const RoundInfo& info, std::span<float> values, bool finite) {
  courier().begin(info, wire);
  if (info.dense) {
    if (!dense_) dense_ = std::make_unique<TwoShot>(dense_pieces_, wire.size(), uint16_t{0}, home_);
    feedback_.dense(values, info.scale);
    BucketFeedback none(info.scale);
    dense_->run(wire, courier(), values, none);
    feedback_.dense_received(values);
    auto* two_shot = std::get_if<TwoShot>(&way_);
    if (two_shot != nullptr && feedback_.dense_settles()) two_shot->forget_owed();
    return;
  }
  dense_.reset();  // its buffers are twice the bucket; dense rounds are rare
  if (auto* two_shot = std::get_if<TwoShot>(&way_); two_shot != nullptr && two_shot->repay(wire.rank(), feedback_)) finite = false;
  feedback_.open(values, info.scale, finite);
  if (auto* sketches = std::get_if<SketchSum>(&way_)) sketches->run(wire, host_, values, feedback_);
  if (auto* gather = std::get_if<Gather>(&way_)) gather->run(wire, courier(), values, feedback_);
  if (auto* two_shot = std::get_if<TwoShot>(&way_)) two_shot->run(wire, courier(), values, feedback_);
  feedback_.received(values);
}

BucketRound::Owed BucketRound::owed() {
  auto* two_shot = std::get_if<TwoShot>(&way_);
  if (two_shot == nullptr || two_shot->owed().empty()) return {};
  return {bucket_.begin + two_shot->owned_begin(nodes_.leader_index()), two_shot->owed_to_all()};
}

std::span<float> BucketRound::memory(Slot slot) {
  auto* sketches = std::get_if<SketchSum>(&way_);
  if (sketches == nullptr) return {};
  for (size_t i = 0; i < bucket_.slots.size(); ++i) {
    if (bucket_.slots[i] == slot) return sketches->memory(i);
  }
  return {};
}

std::vector<StatePiece> BucketRound::state(bool with_feedback) {
  std::vector<StatePiece> pieces;
  if (auto* two_shot = std::get_if<TwoShot>(&way_); two_shot != nullptr && with_feedback && two_shot->loses()) {
    two_shot->keep_owed(nodes_.leader_index());
    const size_t begin = bucket_.begin + two_shot->owned_begin(nodes_.leader_index()), end = begin + two_shot->owed().size();
    for (const Slot slot : bucket_.slots) {
      const size_t from = std::max(begin, table_.offset(slot)), to = std::min(end, table_.offset(slot) + table_.slots()[slot].elems());
      if (from >= to) continue;
      pieces.push_back({.name = "owed/" + table_.slots()[slot].name,
                        .slot = slot,
                        .slot_shaped = false,
                        .memory = std::as_writable_bytes(two_shot->owed().subspan(from - begin, to - from)),
                        .home = &home_,
                        .regroup = Regroup::slice,
                        .begin = from - table_.offset(slot)});
    }
  }
  for (const Slot slot : bucket_.slots) {
    const auto kept = memory(slot);
    if (kept.empty()) continue;
    pieces.push_back({.name = "sketch/" + table_.slots()[slot].name,
                      .slot = slot,
                      .slot_shaped = false,
                      .same_on_all_ranks = true,
                      .memory = std::as_writable_bytes(kept)});
  }
  return pieces;
}

}  // namespace thinwire::exchange
