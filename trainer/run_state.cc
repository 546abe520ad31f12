#include "trainer/run_state.h"

#include <ATen/core/Tensor.h>

namespace thinwire::trainer {

using checkpoint::Scope;

checkpoint::State run_state(const models::Model& model, const Optimizer& optimizer, exchange::Schedule& schedule,
                            std::array<int64_t, 4>& totals, HostMemory& host) {
  checkpoint::State state;
  const Scope of_parameters = schedule.replicas_agree() ? Scope::replicated : Scope::per_rank;
  const Scope of_optimizer = schedule.optimizer_agrees() ? Scope::replicated : Scope::per_rank;
  const auto& parameters = model.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, value, decays] = parameters[i];
    const std::vector<int64_t> shape = value.sizes().vec();
    state.tensors.push_back({"model/" + name, DType::f32, shape, host.of(value), of_parameters});
    for (const auto& [what, of_parameter] : optimizer.memory())
      state.tensors.push_back({"optim/" + what + "/" + name, DType::f32, shape, host.of(of_parameter[i]), of_optimizer});
  }
  const auto add = [&](const char* owner, const exchange::StatePiece& piece) {
    const auto shape = piece.slot_shaped ? parameters[piece.slot].value.sizes().vec()
                                         : std::vector<int64_t>{static_cast<int64_t>(piece.memory.size() / size_of(piece.dtype))};
    state.tensors.push_back(
        {owner + piece.name, piece.dtype, shape, host.of(piece), piece.same_on_all_ranks ? Scope::replicated : Scope::per_rank});
  };
  for (const auto& piece : schedule.exchange().state()) add("exchange/", piece);
  for (const auto& piece : schedule.state()) add("schedule/", piece);
  state.tensors.push_back({"metrics/wire_totals",
                           DType::i64,
                           {static_cast<int64_t>(totals.size())},
                           host.of(std::as_writable_bytes(std::span(totals))),
                           Scope::per_rank});
  return state;
}

}  // namespace thinwire::trainer
