#include "exchange/footprint.h"

#include <algorithm>

#include "compressors/plan/cost.h"
#include "compressors/sketch.h"
#include "exchange/feedback/feedback.h"
#include "exchange/feedback/int8_residual.h"
#include "exchange/rounds/courier.h"
#include "exchange/rounds/piece.h"

namespace thinwire::exchange {

using compressors::Combine;
using compressors::Layer;

namespace {

constexpr double kFloat = sizeof(float);

double frame_bytes_of(const std::vector<Piece>& pieces) { return static_cast<double>(Courier::worst_frame_bytes(pieces)); }

double elems_of(const std::vector<Piece>& pieces) {
  double elems = 0;
  for (const Piece& piece : pieces) elems += static_cast<double>(piece.elems());
  return elems;
}

double gather_buffers(const std::vector<Piece>& whole, int ranks) { return ranks * frame_bytes_of(whole); }

// Frames to and from each rank, the combined one, and the sum of the own slice; two ranks gather.
double two_shot_buffers(const std::vector<Piece>& whole, int ranks) {
  if (!compressors::reencodes(ranks)) return gather_buffers(whole, ranks);
  const auto owned = cut_for_owners(whole, ranks);
  const double own = frame_bytes_of(owned[0]);
  double bytes = own + kFloat * elems_of(owned[0]);
  for (const auto& pieces : owned) bytes += frame_bytes_of(pieces) + std::max(own, frame_bytes_of(pieces));
  return bytes;
}

double scratch_of(const std::vector<Piece>& pieces) {
  size_t most = 0;
  for (const Piece& piece : pieces) most = std::max(most, piece.codec->traits(piece.layer).scratch_bytes);
  return static_cast<double>(most);
}

double sketch_buffers(const SlotTable& table, const Bucket& bucket, const compressors::Codec& fp32, int ranks) {
  std::vector<size_t> totals;
  double largest = 0, scratch = 0;
  for (const Slot slot : bucket.slots) {
    const SlotSpec& spec = table.slots()[slot];
    const auto rounds = dynamic_cast<const compressors::Sketch&>(*spec.codec).round_elems({slot, spec.rows, spec.cols});
    if (totals.size() < rounds.size()) totals.resize(rounds.size(), 0);
    for (size_t j = 0; j < rounds.size(); ++j) totals[j] += rounds[j];
    largest = std::max(largest, static_cast<double>(spec.elems()));
    scratch = std::max(scratch, static_cast<double>(spec.traits().scratch_bytes));
  }
  double bytes = scratch + kFloat * (largest + static_cast<double>(bucket.elems));
  if (!totals.empty()) bytes += 2 * kFloat * static_cast<double>(*std::max_element(totals.begin(), totals.end()));
  for (const size_t elems : totals) bytes += two_shot_buffers({{&fp32, Layer{0, 1, static_cast<int64_t>(elems)}, 0}}, ranks);
  return bytes;
}

// Policies that keep an estimate are told what peers decode, and form what is encoded beside the numbers.
bool keeps_estimates(const FeedbackOptions& feedback) {
  return feedback.name == "ef21" || feedback.name == "ef21_sgdm" || feedback.name == "econtrol";
}

double open_range_bytes(const FeedbackOptions& feedback, double elems) {
  if (keeps_estimates(feedback)) return kFloat * elems * (1 + (feedback.name == "ef21" ? 0 : 1));  // decoded; v or e
  return feedback.name == "ef14" && feedback.state == "int8" ? kFloat * elems : 0;
}

double buffers_of(const SlotTable& table, const Bucket& bucket, const compressors::Codec& fp32, const CompressOptions& compress,
                  const Peers& peers, bool keeps) {
  const auto elems = static_cast<double>(bucket.elems);
  double bytes = keeps ? open_range_bytes(compress.error_feedback, elems) : 0;
  if (bucket.combine == Combine::sketch) return bytes + sketch_buffers(table, bucket, fp32, peers.leaders);
  const auto whole = whole_pieces(table, bucket);
  bytes += scratch_of(whole);
  return bytes + (bucket.combine == Combine::gather ? gather_buffers(whole, peers.leaders) : two_shot_buffers(whole, peers.leaders));
}

double feedback_floats(const FeedbackOptions& feedback) {
  if (feedback.name == "none") return 0;
  if (feedback.name == "ef14") return feedback.state == "int8" ? 0.25 + 1.0 / Int8Residual::kBlock : 1;
  return feedback.name == "ef21" ? 2 : 3;  // h and H; v or e
}

bool loses(const std::vector<Piece>& pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.codec->traits(piece.layer).delta < 1; });
}

// What rank 0 still owes of the slices that it encodes again; under feedback.
double owed_elems(const SlotTable& table, const Peers& peers) {
  double elems = 0;
  if (!compressors::reencodes(peers.leaders)) return elems;
  for (const Bucket& bucket : table.buckets()) {
    if (bucket.combine != Combine::reencode) continue;
    const auto whole = whole_pieces(table, bucket);
    if (loses(whole)) elems += elems_of(cut_for_owners(whole, peers.leaders)[0]);
  }
  return elems;
}

double sketch_floats(const SlotTable& table) {
  double floats = 0;
  for (Slot slot = 0; slot < table.slots().size(); ++slot) {
    const SlotSpec& spec = table.slots()[slot];
    if (const auto* sketch = dynamic_cast<const compressors::Sketch*>(spec.codec.get()))
      floats += static_cast<double>(sketch->memory_elems({slot, spec.rows, spec.cols}));
  }
  return floats;
}

bool is_local(const ExchangeOptions& exchange) { return exchange.schedule == "local_steps"; }
bool keeps_feedback(const SlotTable& table, const CompressOptions& compress) {
  return compress.error_feedback.name != "none" && loses_anything(table);
}
bool begins_dense(const CompressOptions& compress) {
  return compress.start.value > 0 || (keeps_estimates(compress.error_feedback) && compress.error_feedback.start == "dense");
}

}  // namespace

Footprint footprint_of(const SlotTable& table, const ExchangeOptions& exchange, const CompressOptions& compress, const Peers& peers) {
  const auto fp32 = std::dynamic_pointer_cast<const compressors::Codec>(compressors::CodecChoice().make());
  const double flat = kFloat * static_cast<double>(table.total_elems());
  const bool keeps = keeps_feedback(table, compress), delayed = is_local(exchange) && exchange.delay > 0;
  Footprint footprint;
  footprint.values = flat;
  footprint.gradients = delayed ? flat : 0;
  if (is_local(exchange)) footprint.schedule = flat * (1 + (exchange.outer.name == "nesterov" ? 1 : 0) + (delayed ? 1 : 0));
  if (keeps) footprint.feedback = flat * feedback_floats(compress.error_feedback) + kFloat * owed_elems(table, peers);
  footprint.sketches = kFloat * sketch_floats(table);
  double dense = 0;
  for (const Bucket& bucket : table.buckets()) {
    footprint.buffers += buffers_of(table, bucket, *fp32, compress, peers, keeps);
    if (peers.on_host > 1) footprint.buffers += kFloat * static_cast<double>(bucket.elems) * (peers.on_host - 1);
    dense += two_shot_buffers(whole_pieces(table, bucket, fp32.get()), peers.leaders);
  }
  if (begins_dense(compress)) footprint.buffers = std::max(footprint.buffers, dense);
  if (compress.plan.method != "off") {
    footprint.samples = flat;
    footprint.rebuilding = footprint.feedback;
  }
  return footprint;
}

SavedBytes saved_bytes_of(const SlotTable& table, const ExchangeOptions& exchange, const CompressOptions& compress, const Peers& peers) {
  const Footprint kept = footprint_of(table, exchange, compress, peers);
  const double departed = kept.gradients;  // as large: the parameters at departure, and the mean that has arrived
  const double estimates = keeps_estimates(compress.error_feedback) && kept.feedback > 0 ? kept.values : 0;  // H, the same on all ranks
  SavedBytes saved;
  saved.of_each_rank = kept.feedback - estimates + kept.samples + departed;
  saved.of_all = estimates + (kept.schedule - departed) + departed + kept.sketches;
  return saved;
}

}  // namespace thinwire::exchange
