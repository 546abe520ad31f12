// A shuffled order that takes no memory.
#pragma once
#include <cstdint>

#include "base/draw.h"

namespace thinwire::data {

// Where `position` goes under a permutation of [0, size) that `key` draws; 0 <= position < size. A keyed Feistel network with cycle walking
// (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).
int64_t permuted(int64_t position, int64_t size, const Draw& key);

}  // namespace thinwire::data
