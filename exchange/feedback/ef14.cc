#include "exchange/feedback/ef14.h"

#include <algorithm>

namespace thinwire::exchange {

Ef14::Ef14(const SlotTable& table, double decay, HomeOf home_of) : table_(table), decay_(static_cast<float>(decay)) {
  for (uint32_t b = 0; b < table.buckets().size(); ++b) residuals_.emplace_back(home_of(b), table.buckets()[b].elems);
}

void Ef14::sent(OpenRange& range, size_t, std::span<const float>) {
  for (uint32_t b = 0; b < residuals_.size(); ++b) {
    if (table_.buckets()[b].begin == range.begin && table_.buckets()[b].elems > 0) residuals_[b].turn();
  }
}

void Ef14::take_back(size_t begin, std::span<const float> owed) {
  std::vector<float> left;
  for (uint32_t b = 0; b < residuals_.size(); ++b) {
    const Bucket& bucket = table_.buckets()[b];
    if (begin < bucket.begin || begin >= bucket.begin + bucket.elems) continue;
    const auto mine = residuals_[b].now().subspan(begin - bucket.begin, owed.size());
    left.resize(owed.size());
    residuals_[b].home().fetch(std::as_writable_bytes(std::span(left)), mine.data());
    for (size_t i = 0; i < owed.size(); ++i) left[i] += owed[i];
    residuals_[b].home().store(mine.data(), std::as_bytes(std::span(left)));
  }
}

std::vector<StatePiece> Ef14::state(Slot slot) {
  return {{.name = "residual/" + table_.slots()[slot].name,
           .slot = slot,
           .memory = std::as_writable_bytes(of(slot)),
           .home = &residuals_[table_.bucket_of(slot)].home()}};
}

}  // namespace thinwire::exchange
