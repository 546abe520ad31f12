// Lossless coding of a map of indices (0 to 15, one for each element of a chunk) by context mixing: several guesses of each bit, each from
// what was seen in one context, are added up in the logistic domain with weights that learn (M. Mahoney, "Adaptive weighing of context
// models for lossless data compression", Florida Tech CS-2005-16), and the sum drives an arithmetic coder. The system follows "An Efficient
// Compression of Deep Neural Network Checkpoints Based on Prediction and Context Modeling" (arXiv 2506.12000), with integers in place of
// its network, so that any machine decodes what another coded.
//
// An index is told as: is it 0, and if not its four bits, the highest first. Contexts come from neighbours in the map, the same place of
// other maps, and what was last seen in the row and the column. docs/formats/checkpoint.md, "Extreme coding", defines every number.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace thinwire::checkpoint::extreme {

// What both sides know beside the map. Maps are empty or as long as the coded one.
struct Surroundings {
  std::span<const uint8_t> guide, second;  // of the tensor that leads to this one, and of the one that leads to that
  std::span<const uint8_t> earlier;        // of this tensor in the earlier generation
  bool zero_with_guide = false;            // no index but 0 stands where the guide has 0: such places are not coded
  uint32_t positive = 8;                   // the first index of a centre above zero
  size_t row_elems = 0, first_column = 0;  // 0: there are no rows
};

// One thread's tables: 3 MB, begun anew for each map.
class IndexModel {
 public:
  IndexModel();
  ~IndexModel();
  void encode(std::span<const uint8_t> map, const Surroundings& around, std::vector<std::byte>& out);  // appends
  // Fills `map`, whatever `coded` holds; CorruptData when it is longer or shorter than what it tells.
  void decode(ConstBytes coded, const Surroundings& around, std::span<uint8_t> map);

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
};

}  // namespace thinwire::checkpoint::extreme
