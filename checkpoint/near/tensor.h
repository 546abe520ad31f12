// Near-exact coding of a tensor: a header, and exact codings (exact/tensor.h) of its levels and of its scales (blocks.h), one after
// another.
#pragma once
#include <string>
#include <vector>

#include "checkpoint/exact/tensor.h"
#include "checkpoint/near/blocks.h"

namespace thinwire::checkpoint::near {

// From exact codings of the blocks' levels (as U8) and of their scales (as F32).
std::vector<std::byte> joined(const Form& form, uint64_t elems, const exact::Parts& levels, const exact::Parts& scales);

inline constexpr size_t kHeaderBytes = 32;
uint64_t least_bytes(uint64_t elems);  // no coding of so many elements is shorter

// What stands in front, and where the two codings lie.
struct Header {
  Form form;
  uint64_t elems = 0;
  // At least as long as the tables of so many elements, and of their blocks.
  uint64_t levels_bytes = 0, scales_bytes = 0;
  uint64_t levels_begin() const { return kHeaderBytes; }
  uint64_t scales_begin() const { return kHeaderBytes + levels_bytes; }
};
// Of a coding of `coded_bytes`, which begins with `front`, of a tensor of `elems`. Checked against its own hash, the length and what is
// expected. CorruptData begins with `source`.
Header parse_header(ConstBytes front, uint64_t coded_bytes, uint64_t elems, const std::string& source);

// The table of one of the two codings, which begins with `front`. CorruptData also where it is of other elements.
exact::Table parse_levels(const Header& header, ConstBytes front, const std::string& source);
exact::Table parse_scales(const Header& header, ConstBytes front, const std::string& source);

}  // namespace thinwire::checkpoint::near
