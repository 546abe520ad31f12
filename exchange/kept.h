// What is left of a round for the next, in the residence of a bucket's numbers.
#pragma once
#include "exchange/offer.h"
#include "exchange/residence.h"

namespace thinwire::exchange {

// Numbers that an encode replaces: what a codec leaves out. On the host codecs replace them in place. On a device that costs a pass more
// (compressors/device_codec.h), so what is left goes to a second array, which becomes the first when the encode is known to be good: a
// round that is refused changes nothing.
class Kept {
 public:
  Kept() = default;
  Kept(Residence& home, size_t elems) : now_(home, elems), next_(home.is_host() ? Array() : Array(home, elems)) {}
  std::span<float> now() const { return now_.span(); }
  Residence& home() const { return now_.home(); }
  // Of x and what is kept from `at` on.
  Offer offer(size_t at, const float* x, float scale, float decay) {
    return {{x, scale, now_.data() + at, decay}, next_.empty() ? nullptr : next_.data() + at};
  }
  void turn() {
    if (!next_.empty()) now_.swap(next_);
  }

 private:
  Array now_, next_;
};

}  // namespace thinwire::exchange
