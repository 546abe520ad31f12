// What is exchanged: named slots laid out in one flat array of floats, and the buckets in which they travel.
//
// The layout is a pure function of the slot list and the codecs, so all ranks have the same; its hash is in every frame and is agreed
// at the start. State is keyed by slot name, never by bucket.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compressors/compressor.h"

namespace thinwire::exchange {

using Slot = uint32_t;  // index in the slot table

struct SlotSpec {
  std::string name;
  int64_t rows = 1, cols = 0;
  std::shared_ptr<const compressors::Compressor> codec = {};
  std::string why_fixed = {};                           // not empty: why no plan may change the codec
  std::string why_dense = {};                           // not empty: why it travels uncompressed
  std::string text = {};                                // codec and options, for people and for the table's hash
  std::optional<compressors::Combine> combine_as = {};  // instead of the codec's own way; only reencode, of a codec that may be cut
  uint32_t fragment = 0;                                // slots of one fragment are exchanged in the same rounds

  size_t elems() const { return static_cast<size_t>(rows * cols); }
  compressors::Traits traits() const { return codec->traits({0, rows, cols}); }
  double delta() const { return traits().delta; }
  compressors::Combine combine() const { return combine_as.value_or(traits().combine); }
};

// Slots that travel together: of one fragment and codec id, combined in one way, adjacent in the flat array. Their options may differ.
struct Bucket {
  uint32_t fragment = 0;
  uint16_t codec_id = 0;
  compressors::Combine combine = compressors::Combine::gather;
  std::vector<Slot> slots;  // in flat order
  size_t begin = 0, elems = 0;
};

class SlotTable {
 public:
  // Slots in the order of the forward pass. Buckets fill in the reverse order, in which backward makes gradients ready, and hold at most
  // bucket_bytes of floats (of the parts that travel, where the slots are sketched: their rounds should be few and large); a larger slot
  // has a bucket of its own. Buckets are sorted by when their last slot becomes ready. `version`: of the plan that chose the codecs.
  SlotTable(std::vector<SlotSpec> slots, int64_t bucket_bytes, uint32_t version = 0);

  const std::vector<SlotSpec>& slots() const { return slots_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  size_t offset(Slot slot) const { return offsets_[slot]; }  // in the flat array
  uint32_t bucket_of(Slot slot) const { return bucket_of_[slot]; }
  uint32_t num_fragments() const { return num_fragments_; }
  size_t total_elems() const { return total_elems_; }
  // visit(slot, from, to) of each slot that lies in the flat range, and where. An empty one lies in none: at the end of one bucket it would
  // also be at the beginning of the next, whose round may run at once.
  template <class F>
  void for_each_slot(size_t begin, size_t elems, F&& visit) const {
    for (Slot slot = 0; slot < slots_.size(); ++slot) {
      const size_t from = offsets_[slot], to = from + slots_[slot].elems();
      if (from < to && from >= begin && to <= begin + elems) visit(slot, from, to);
    }
  }
  uint64_t hash() const { return hash_; }  // of names, shapes, codecs and the buckets' layout
  uint32_t version() const { return version_; }

 private:
  std::vector<SlotSpec> slots_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> offsets_;
  std::vector<uint32_t> bucket_of_;
  size_t total_elems_ = 0;
  uint32_t num_fragments_ = 1;
  uint64_t hash_ = 0;
  uint32_t version_ = 0;
};

// Cuts the list into `fragments` runs of about equal numbers of elements, each of at least one slot: whole layers stay together, so that a
// round changes a part of the model and not a part of every matrix. ConfigError when there are fewer slots than that.
void assign_fragments(std::vector<SlotSpec>& slots, int64_t fragments);

}  // namespace thinwire::exchange
