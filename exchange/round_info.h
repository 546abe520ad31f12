// What is said of a round of the exchange beforehand, and what it took.
#pragma once
#include <cstdint>

namespace thinwire::exchange {

struct RoundInfo {
  uint64_t step = 0;
  float scale = 1;     // every number is multiplied by it before it is compressed
  bool dense = false;  // this round without codecs (warm-up)
};

struct RoundTimes {
  double encode_s = 0;         // in codecs, on communication threads
  double exposed_s = 0;        // what finish() waited
  double wire_s_per_byte = 0;  // time at the wire by bytes sent; 0 when nothing was
};

}  // namespace thinwire::exchange
