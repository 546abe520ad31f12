#include "exchange/slots.h"

#include <algorithm>
#include <map>

#include "base/hash.h"

namespace thinwire::exchange {

namespace {
uint64_t hash_of(const std::vector<SlotSpec>& slots, const std::vector<Bucket>& buckets) {
  std::string text;
  for (const auto& bucket : buckets) {
    text += "bucket of codec " + std::to_string(bucket.codec->id()) + '\n';
    for (const Slot slot : bucket.slots) {
      text += slots[slot].name + ' ' + std::to_string(slots[slot].rows) + 'x' + std::to_string(slots[slot].cols) + '\n';
    }
  }
  return hash64(text);
}
}  // namespace

SlotTable::SlotTable(std::vector<SlotSpec> slots, int64_t bucket_bytes)
    : slots_(std::move(slots)), offsets_(slots_.size()), bucket_of_(slots_.size()) {
  const auto room_elems = static_cast<size_t>(bucket_bytes) / sizeof(float);
  std::map<const compressors::Codec*, size_t> open;  // codec -> index of the bucket that still has room
  for (size_t back = slots_.size(); back-- > 0;) {
    const SlotSpec& spec = slots_[back];
    const auto it = open.find(spec.codec.get());
    const bool fits = it != open.end() && buckets_[it->second].elems + spec.elems() <= room_elems;
    if (!fits) {
      buckets_.push_back({spec.codec, {}, 0, 0});
      open[spec.codec.get()] = buckets_.size() - 1;
    }
    Bucket& bucket = buckets_[fits ? it->second : buckets_.size() - 1];
    bucket.slots.push_back(static_cast<Slot>(back));
    bucket.elems += spec.elems();
  }
  // The last slot of a bucket to be ready is the one nearest to the input: the smallest index.
  std::stable_sort(buckets_.begin(), buckets_.end(), [](const Bucket& a, const Bucket& b) { return a.slots.back() > b.slots.back(); });
  for (uint32_t b = 0; b < buckets_.size(); ++b) {
    buckets_[b].begin = total_elems_;
    for (const Slot slot : buckets_[b].slots) {
      offsets_[slot] = total_elems_;
      bucket_of_[slot] = b;
      total_elems_ += slots_[slot].elems();
    }
  }
  hash_ = hash_of(slots_, buckets_);
}

}  // namespace thinwire::exchange
