// What follows from a layer's shape and the options alone: how many values each block keeps, how they travel, and how long a payload is.
#pragma once
#include <algorithm>
#include <cstdint>

#include "compressors/entropy/rice.h"
#include "compressors/sparseloco/blocks.h"

namespace thinwire::compressors::sparseloco {

enum class PositionCoding { rice, packed12 };

inline constexpr unsigned kPackedBits = 12;  // a position in a block, as blocks have at most 4096 elements

// Blocks of one layer have one size, but for the last chunk of a vector.
struct Share {
  size_t elems = 0, kept = 0;
  unsigned rice_parameter = 0;
};

class Plan {
 public:
  // `k` is what a block of 4096 elements keeps.
  Plan(Layer layer, Blocks::Vectors vectors, size_t k, unsigned bits, PositionCoding coding) : blocks_(layer, vectors), coding_(coding) {
    if (blocks_.count() == 0) return;
    first_ = share_of(blocks_.at(0).elems(), k);
    last_ = share_of(blocks_.at(blocks_.count() - 1).elems(), k);
    kept_ = (blocks_.count() - 1) * first_.kept + last_.kept;
    const size_t bins = size_t{1} << bits;
    levels_ = std::min(kept_, bins);
    code_bits_ = kept_ > bins ? bits : 0;
  }

  const Blocks& blocks() const { return blocks_; }
  PositionCoding coding() const { return coding_; }
  size_t kept() const { return kept_; }              // of the whole layer
  size_t levels() const { return levels_; }          // bins, or the values themselves where these are no more
  unsigned code_bits() const { return code_bits_; }  // 0 where value i has level i
  bool binned() const { return code_bits_ != 0; }

  size_t header_bytes() const { return levels_ * sizeof(float); }
  size_t worst_bytes() const {
    if (kept_ == 0) return 0;
    const uint64_t bits = (blocks_.count() - 1) * worst_bits(first_) + worst_bits(last_);
    return header_bytes() + static_cast<size_t>((bits + 7) / 8);
  }

  // Of a block in the stream.
  uint64_t worst_bits(const Share& share) const {
    const uint64_t positions =
        coding_ == PositionCoding::rice ? rice::worst_bits(share.kept, share.elems, share.rice_parameter) : share.kept * kPackedBits;
    return positions + share.kept * code_bits_;
  }

  // Guaranteed where values travel as they are.
  double worst_share_kept() const {
    const auto ratio = [](const Share& share) { return static_cast<double>(share.kept) / static_cast<double>(share.elems); };
    return kept_ == 0 ? 1 : std::min(ratio(first_), ratio(last_));
  }

  const Share& share(size_t block) const { return block + 1 < blocks_.count() ? first_ : last_; }

  // visit(Block, Share, first): `first` is the number of values that earlier blocks keep. Ends at the first false; true when there was
  // none.
  template <class F>
  bool for_each_block(F&& visit) const {
    for (size_t i = 0, first = 0; i < blocks_.count(); ++i) {
      if (!visit(blocks_.at(i), share(i), first)) return false;
      first += share(i).kept;
    }
    return true;
  }

 private:
  static Share share_of(size_t elems, size_t k) {
    const size_t kept = std::max<size_t>(1, (elems * k + kBlockElems / 2) / kBlockElems);
    return {.elems = elems, .kept = kept, .rice_parameter = rice::parameter_for(kept, elems)};
  }

  Blocks blocks_;
  PositionCoding coding_;
  Share first_, last_;
  size_t kept_ = 0, levels_ = 0;
  unsigned code_bits_ = 0;
};

}  // namespace thinwire::compressors::sparseloco
