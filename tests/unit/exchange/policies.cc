#include "tests/unit/exchange/policies.h"

#include <algorithm>
#include <cstring>
#include <ostream>

#include "config/load.h"
#include "exchange/rounds/piece.h"

namespace thinwire::exchange::testing {

using compressors::Combine;

const std::vector<Policy>& all_policies() {
  static const std::vector<Policy> policies = {
      {"none", {.name = "none"}},
      {"ef14", {.name = "ef14"}},
      {"ef14_decay", {.name = "ef14", .decay = 0.9}},
      {"ef14_int8", {.name = "ef14", .state = "int8"}},
      {"ef21", {.name = "ef21", .start = "zero"}},
      {"ef21_sgdm", {.name = "ef21_sgdm", .beta = 0.25, .start = "zero"}},
      {"econtrol", {.name = "econtrol", .start = "zero"}},
  };
  return policies;
}

CompressorPtr compressor(const std::string& name, const std::vector<std::string>& options) {
  for (const compressors::CodecEntry& entry : compressors::codec_registry()) {
    if (entry.name != name) continue;
    const auto maker = entry.maker();
    config::Section section;
    maker->describe_options(section);
    config::load(section, {}, options);
    return maker->make();
  }
  throw std::logic_error("no codec '" + name + "' in the registry");
}

std::vector<CompressorPtr> all_compressors() {
  std::vector<CompressorPtr> all;
  for (const compressors::CodecEntry& entry : compressors::codec_registry()) {
    const std::string name(entry.name);
    all.push_back(name == "topk" ? compressor(name, {"density=10%", "chunk=32"}) : compressor(name));
  }
  return all;
}

void PrintTo(const Case& c, std::ostream* out) { *out << c.policy.name << " under " << c.codec->name(); }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Policy& policy : all_policies()) {
    for (const CompressorPtr& codec : all_compressors()) cases.push_back({policy, codec});
  }
  return cases;
}

std::vector<SlotSpec> policy_slots(const CompressorPtr& codec) {
  std::vector<SlotSpec> slots;
  const auto add = [&](const char* name, int64_t rows, int64_t cols) {
    slots.push_back({.name = name, .rows = rows, .cols = cols, .codec = codec, .text = std::string(codec->name())});
  };
  add("embed", 16, 20), add("norm", 1, 39), add("empty", 1, 0), add("proj", 14, 10), add("bias", 1, 1);
  return slots;
}

FeedbackOptions allowed(const Policy& policy, const std::vector<SlotSpec>& slots) {
  FeedbackOptions options = policy.options;
  const bool guaranteed = std::ranges::all_of(slots, [](const SlotSpec& slot) { return slot.delta() > 0; });
  if (!guaranteed) options.eta = 0.05;
  return options;
}

SlotValues gradients(const SlotTable& table, uint64_t step, int rank) {
  SlotValues all;
  for (size_t s = 0; s < table.slots().size(); ++s) {
    const Draw of_rank = Draw(s).fork("bias").fork(static_cast<uint64_t>(rank)),
               noise = Draw(s).fork(step).fork(static_cast<uint64_t>(rank));
    all.emplace_back(table.slots()[s].elems());
    for (size_t i = 0; i < all.back().size(); ++i) all.back()[i] = static_cast<float>(of_rank.normal(i) + 0.5 * noise.normal(i));
  }
  return all;
}

void run_round(Exchange& exchange, const RoundInfo& info, const SlotValues& inputs) {
  exchange.begin(info);
  for (Slot s = 0; s < inputs.size(); ++s) std::ranges::copy(inputs[s], exchange.values(s).begin());
  for (Slot s = static_cast<Slot>(inputs.size()); s-- > 0;) exchange.ready(s);
  exchange.finish();
}

namespace {

std::vector<size_t> begins_of(const SlotTable& table) {
  std::vector<size_t> begins;
  size_t at = 0;
  for (const SlotSpec& slot : table.slots()) begins.push_back(at), at += slot.elems();
  return begins;
}

// Where in its slot this rank's slice begins; 0 when it owns nothing of it.
size_t owned_offset(const SlotTable& table, Slot slot, int rank, int ranks) {
  const Bucket& bucket = table.buckets()[table.bucket_of(slot)];
  if (bucket.combine != Combine::reencode) return 0;
  const auto owned = cut_for_owners(whole_pieces(table, bucket), ranks);
  for (const Piece& piece : owned[static_cast<size_t>(rank)]) {
    if (piece.layer.id == slot) return bucket.begin + piece.begin - table.offset(slot);
  }
  return 0;
}

}  // namespace

StateSnapshot::StateSnapshot(Exchange& exchange) {
  const SlotTable& table = exchange.table();
  const auto begins = begins_of(table);
  for (Sums* sums : {&residual, &owed, &estimate, &mean, &momentum, &scale}) sums->assign(table.total_elems(), 0.0);
  for (Slot s = 0; s < table.slots().size(); ++s)
    std::ranges::copy(exchange.residual(s), residual.begin() + static_cast<std::ptrdiff_t>(begins[s]));
  for (const StatePiece& piece : exchange.state()) {
    const size_t begin = begins[piece.slot], elems = table.slots()[piece.slot].elems();
    const auto fill = [&](Sums& sums, size_t offset) {
      std::ranges::copy(floats_of(piece), sums.begin() + static_cast<std::ptrdiff_t>(begin + offset));
    };
    if (piece.name.starts_with("estimate/")) fill(estimate, 0);
    if (piece.name.starts_with("mean_estimate/")) fill(mean, 0);
    if (piece.name.starts_with("feedback_momentum/")) fill(momentum, 0);
    if (piece.name.starts_with("owed/")) fill(owed, owned_offset(table, piece.slot, exchange.driver().rank(), exchange.driver().size()));
    if (!piece.name.starts_with("residual_scales/")) continue;
    for (size_t i = 0; i < elems; ++i) scale[begin + i] = floats_of(piece)[i / 256];
  }
}

Sums by_slot(const SlotTable& table, const SlotValues& values) {
  Sums all;
  for (Slot s = 0; s < table.slots().size(); ++s) all.insert(all.end(), values[s].begin(), values[s].end());
  return all;
}

Sums results_by_slot(Exchange& exchange) {
  Sums all;
  for (Slot s = 0; s < exchange.table().slots().size(); ++s) all.insert(all.end(), exchange.values(s).begin(), exchange.values(s).end());
  return all;
}

std::map<std::string, std::vector<std::byte>> bytes_of_state(Exchange& exchange) {
  std::map<std::string, std::vector<std::byte>> all;
  for (const StatePiece& piece : exchange.state()) all[piece.name] = {piece.memory.begin(), piece.memory.end()};
  return all;
}

void restore(Exchange& exchange, const std::map<std::string, std::vector<std::byte>>& saved) {
  for (const StatePiece& piece : exchange.state()) {
    const auto& bytes = saved.at(piece.name);
    check(bytes.size() == piece.memory.size(), "state keeps its size");
    std::ranges::copy(bytes, piece.memory.begin());
  }
}

}  // namespace thinwire::exchange::testing
