#include "exchange/slots.h"

#include <algorithm>
#include <map>

#include "base/hash.h"

namespace thinwire::exchange {

namespace {
size_t bytes_in_bucket(const SlotSpec& spec) {
  return spec.combine() == compressors::Combine::sketch ? spec.traits().worst_bytes : spec.elems() * sizeof(float);
}

uint64_t hash_of(const std::vector<SlotSpec>& slots, const std::vector<Bucket>& buckets) {
  std::string text;
  for (const auto& bucket : buckets) {
    text += "bucket of codec " + std::to_string(bucket.codec_id) + " combined " + std::to_string(static_cast<int>(bucket.combine)) + '\n';
    for (const Slot slot : bucket.slots) {
      text += slots[slot].name + ' ' + std::to_string(slots[slot].rows) + 'x' + std::to_string(slots[slot].cols) + ' ' + slots[slot].text +
              '\n';
    }
  }
  return hash64(text);
}
}  // namespace

SlotTable::SlotTable(std::vector<SlotSpec> slots, int64_t bucket_bytes, uint32_t version)
    : slots_(std::move(slots)), offsets_(slots_.size()), bucket_of_(slots_.size()), version_(version) {
  struct Open {  // a bucket that may still have room
    size_t index, bytes;
  };
  std::map<std::pair<uint16_t, compressors::Combine>, Open> open;
  for (size_t back = slots_.size(); back-- > 0;) {
    const SlotSpec& spec = slots_[back];
    const size_t bytes = bytes_in_bucket(spec);
    auto [it, is_first] = open.try_emplace({spec.codec->id(), spec.combine()}, Open{buckets_.size(), 0});
    if (!is_first && it->second.bytes + bytes > static_cast<size_t>(bucket_bytes)) it->second = {buckets_.size(), 0};
    if (it->second.index == buckets_.size()) buckets_.push_back({spec.codec->id(), spec.combine(), {}, 0, 0});
    it->second.bytes += bytes;
    Bucket& bucket = buckets_[it->second.index];
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
