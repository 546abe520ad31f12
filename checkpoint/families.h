// Which tensors of a file mode extreme codes together: those of one parameter, weights first.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/encoding.h"
#include "checkpoint/extreme/family.h"

namespace thinwire::checkpoint {

struct ExtremeCoding {
  extreme::Kind kind = extreme::Kind::values;
  std::string guide;  // a tensor of the same file, or empty
  std::vector<std::byte> bytes;
};

// By the index of the tensor; what is left out is to be coded otherwise: what may not lose anything, weights that the base does not have,
// what is too short, and what is not finite.
std::map<size_t, ExtremeCoding> encode_families(const std::vector<const StateTensor*>& tensors, const Way& way);

}  // namespace thinwire::checkpoint
