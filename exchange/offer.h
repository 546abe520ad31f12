// What a codec is offered, and where what it leaves out goes.
#pragma once
#include "compressors/codec.h"

namespace thinwire::exchange {

struct Offer : compressors::In {
  float* left = nullptr;  // instead of `residual`, which stays as it is; null: in place

  Offer known(bool finite) const {
    Offer offer = *this;
    offer.known_finite = finite;
    return offer;
  }
};

}  // namespace thinwire::exchange
