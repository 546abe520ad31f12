#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace thinwire {

uint64_t hash64(ConstBytes bytes, uint64_t seed) { return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed); }

StreamingHash::StreamingHash() : state_(XXH3_createState()) {
  check(state_ != nullptr, "XXH3 state was allocated");
  XXH3_64bits_reset(static_cast<XXH3_state_t*>(state_));
}
StreamingHash::~StreamingHash() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }
void StreamingHash::update(ConstBytes bytes) { XXH3_64bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size()); }
uint64_t StreamingHash::digest() const { return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state_)); }

std::string to_hex(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace thinwire
