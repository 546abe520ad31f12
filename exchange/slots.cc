#include "exchange/slots.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/hash.h"

namespace thinwire::exchange {

namespace {
size_t bytes_in_bucket(const SlotSpec& spec) {
  return spec.combine() == compressors::Combine::sketch ? spec.traits().worst_bytes : spec.elems() * sizeof(float);
}

uint64_t hash_of(const std::vector<SlotSpec>& slots, const std::vector<Bucket>& buckets) {
  std::string text;
  for (const auto& bucket : buckets) {
    text += "bucket of codec " + std::to_string(bucket.codec_id) + " combined " + std::to_string(static_cast<int>(bucket.combine)) +
            " in fragment " + std::to_string(bucket.fragment) + '\n';
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
  std::map<std::tuple<uint32_t, uint16_t, compressors::Combine>, Open> open;
  for (size_t back = slots_.size(); back-- > 0;) {
    const SlotSpec& spec = slots_[back];
    const size_t bytes = bytes_in_bucket(spec);
    auto [it, is_first] = open.try_emplace({spec.fragment, spec.codec->id(), spec.combine()}, Open{buckets_.size(), 0});
    if (!is_first && it->second.bytes + bytes > static_cast<size_t>(bucket_bytes)) it->second = {buckets_.size(), 0};
    if (it->second.index == buckets_.size()) buckets_.push_back({spec.fragment, spec.codec->id(), spec.combine(), {}, 0, 0});
    num_fragments_ = std::max(num_fragments_, spec.fragment + 1);
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

void assign_fragments(std::vector<SlotSpec>& slots, int64_t fragments) {
  if (fragments > static_cast<int64_t>(slots.size())) {
    throw ConfigError("exchange.fragments is " + std::to_string(fragments) + ", but the model has only " + std::to_string(slots.size()) +
                      " parameters to divide among them; set exchange.fragments=" + std::to_string(slots.size()) + " or less");
  }
  double total = 0, before = 0;
  for (const SlotSpec& slot : slots) total += static_cast<double>(slot.elems());
  int64_t fragment = 0, slots_left = static_cast<int64_t>(slots.size());
  bool is_empty = true;
  for (SlotSpec& slot : slots) {
    // A slot belongs where its middle lies; but no fragment stays empty, this one or one of those that follow.
    const double middle = before + static_cast<double>(slot.elems()) / 2;
    const auto wanted = static_cast<int64_t>(middle / total * static_cast<double>(fragments));
    const bool must_begin = slots_left <= fragments - 1 - fragment;
    if (!is_empty && fragment + 1 < fragments && (wanted > fragment || must_begin)) ++fragment;
    slot.fragment = static_cast<uint32_t>(fragment);
    is_empty = false;
    before += static_cast<double>(slot.elems());
    --slots_left;
  }
}

}  // namespace thinwire::exchange
