// XXH3-64: checksums of payloads and files, agreement between ranks. Not for adversaries.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace thinwire {

uint64_t hash64(ConstBytes bytes, uint64_t seed = 0);
inline uint64_t hash64(std::string_view text, uint64_t seed = 0) { return hash64(bytes_of(text), seed); }

// Hash of a sequence that is never in memory at once.
class StreamingHash {
 public:
  StreamingHash();
  ~StreamingHash();
  StreamingHash(const StreamingHash&) = delete;
  StreamingHash& operator=(const StreamingHash&) = delete;
  void update(ConstBytes bytes);
  uint64_t digest() const;  // equals hash64 of everything so far

 private:
  void* state_;
};

std::string to_hex(uint64_t value);  // 16 lower-case digits

}  // namespace thinwire
