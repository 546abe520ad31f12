#include "trainer/run_state.h"

#include <ATen/core/Tensor.h>

#include "trainer/tolerances.h"

namespace thinwire::trainer {

using checkpoint::Regrouping;
using checkpoint::Scope;

namespace {

const std::string kExchangePrefix = "exchange/";

Regrouping regrouping_of(const exchange::StatePiece& piece, const exchange::Exchange& exchange) {
  Regrouping how;
  how.keeper = piece.keeper;
  how.keepers = piece.keepers;
  switch (piece.regroup) {
    case exchange::Regroup::mean: how.kind = Regrouping::Kind::mean; break;
    case exchange::Regroup::slice: how.kind = Regrouping::Kind::slice; break;
    case exchange::Regroup::same: how.kind = Regrouping::Kind::same; break;
  }
  if (how.kind == Regrouping::Kind::slice) {
    how.begin = piece.begin;
    how.whole = exchange.table().slots()[piece.slot].elems();
  }
  if (!piece.packed.levels.empty()) {
    how.levels = kExchangePrefix + piece.packed.levels;
    how.scales = kExchangePrefix + piece.packed.scales;
    how.block = piece.packed.block;
  }
  return how;
}

}  // namespace

checkpoint::StateTensor tensor_of(const std::string& owner, const exchange::StatePiece& piece, MutableBytes memory,
                                  const exchange::Exchange& exchange, std::vector<int64_t> slot_shape) {
  const auto elems = static_cast<int64_t>(piece.memory.size() / size_of(piece.dtype));
  return {owner + piece.name,
          piece.dtype,
          piece.slot_shaped ? std::move(slot_shape) : std::vector<int64_t>{elems},
          memory,
          piece.same_on_all_ranks ? Scope::replicated : Scope::per_rank,
          regrouping_of(piece, exchange)};
}

checkpoint::State run_state(const models::Model& model, const Optimizer& optimizer, exchange::Schedule& schedule,
                            std::array<int64_t, 4>& totals, HostMemory& host, SavedBy saved_by) {
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
  exchange::Exchange& exchange = schedule.exchange();
  const auto add = [&](const std::string& owner, const exchange::StatePiece& piece) {
    state.tensors.push_back(tensor_of(owner, piece, host.of(piece), exchange, parameters[piece.slot].value.sizes().vec()));
  };
  for (const auto& piece : saved_by == SavedBy::as_many_ranks ? exchange.state() : exchange.state_to_regroup()) add(kExchangePrefix, piece);
  for (const auto& piece : schedule.state()) add("schedule/", piece);
  state.tensors.push_back({"metrics/wire_totals",
                           DType::i64,
                           {static_cast<int64_t>(totals.size())},
                           host.of(std::as_writable_bytes(std::span(totals))),
                           Scope::per_rank,
                           {.kind = Regrouping::Kind::anew}});  // what dense exchange costs depends on the number of ranks
  for (checkpoint::StateTensor& tensor : state.tensors) {
    tensor.tolerance = tolerance_of(tensor.name);
    tensor.guide = guide_of(tensor.name);
  }
  return state;
}

}  // namespace thinwire::trainer
