#include "exchange/feedback/ef14.h"

namespace thinwire::exchange {

void Ef14::take_back(size_t begin, std::span<const float> owed) {
  for (size_t i = 0; i < owed.size(); ++i) residual_[begin + i] += owed[i];
}

std::vector<StatePiece> Ef14::state(Slot slot) {
  return {{.name = "residual/" + table_.slots()[slot].name, .slot = slot, .memory = std::as_writable_bytes(of(slot))}};
}

}  // namespace thinwire::exchange
