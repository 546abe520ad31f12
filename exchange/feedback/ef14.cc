#include "exchange/feedback/ef14.h"

namespace thinwire::exchange {

void Ef14::take_back(size_t begin, std::span<const float> owed) {
  for (size_t i = 0; i < owed.size(); ++i) residual_[begin + i] += owed[i];
}

std::span<float> Ef14::residual(Slot slot) { return std::span(residual_).subspan(table_.offset(slot), table_.slots()[slot].elems()); }

std::vector<StatePiece> Ef14::state(Slot slot) {
  return {{.name = "residual/" + table_.slots()[slot].name, .slot = slot, .memory = std::as_writable_bytes(residual(slot))}};
}

}  // namespace thinwire::exchange
