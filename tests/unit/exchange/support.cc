#include "tests/unit/exchange/support.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "compressors/cast/bf16.h"
#include "compressors/cast/none.h"
#include "compressors/skeleton/skeleton.h"
#include "compressors/topk/topk.h"
#include "tests/support/run_ranks.h"

namespace thinwire::exchange::testing {

using namespace compressors;

const Modelled& none_codec() {
  static const Modelled codec = {std::make_shared<NoneCodec>(), none_model()};
  return codec;
}
const Modelled& bf16_codec() {
  static const Modelled codec = {std::make_shared<Bf16Codec>(), bf16_model()};
  return codec;
}
const Modelled& skeleton_codec() {
  static const Modelled codec = {std::make_shared<SkeletonCodec>(), skeleton_model()};
  return codec;
}
Modelled topk_codec(double density, int64_t chunk) {
  return {std::make_shared<TopkCodec>(TopkOptions{.density = density, .chunk = chunk}), topk_model(density, static_cast<size_t>(chunk))};
}

SlotSpec slot(const std::string& name, int64_t elems, CodecPtr codec) { return {name, 1, elems, std::move(codec), ""}; }

Values numbers(size_t elems, uint64_t seed) {
  const Draw draw = Draw(seed).fork("numbers"), kinds = Draw(seed).fork("kinds");
  Values values(elems);
  for (size_t i = 0; i < elems; ++i) {
    const uint64_t kind = kinds.below(i, 8);
    const double normal = draw.normal(i);
    if (kind == 0)
      values[i] = 0;
    else if (kind == 1)
      values[i] = normal < 0 ? -0.75f : 0.75f;
    else
      values[i] = static_cast<float>(std::ldexp(normal, static_cast<int>(kinds.below(elems + i, 24)) - 20));
  }
  return values;
}

void Trial::add(const std::string& name, int64_t elems, const Modelled& codec) {
  slots.push_back(slot(name, elems, codec.codec));
  models.push_back(codec.model);
}

SerialExchange Trial::serial() const {
  std::vector<SerialExchange::Slot> modelled;
  for (size_t s = 0; s < slots.size(); ++s) modelled.push_back({models[s], slots[s].elems()});
  return SerialExchange(modelled, ranks, static_cast<float>(feedback.decay));
}

std::vector<SlotValues> Trial::inputs(uint64_t step) const {
  std::vector<SlotValues> by_rank(static_cast<size_t>(ranks));
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    for (size_t s = 0; s < slots.size(); ++s) by_rank[rank].push_back(numbers(slots[s].elems(), step * 10'000 + rank * 100 + s));
  }
  return by_rank;
}

Trial three_slots(const Modelled& codec) {
  Trial trial;
  trial.ranks = 3;
  trial.add("first.weight", 100, codec);
  trial.add("second.weight", 200, codec);
  trial.add("third.weight", 50, codec);
  return trial;
}

Rank::Rank(comm::Transport& transport, const Trial& of, double timeout_s, Residence& residence)
    : trial(of), driver(transport, timeout_s), exchange(driver, of.table(), of.feedback, of.overlap, 1, of.node_of_rank, residence) {}

void Rank::begin_with(const RoundInfo& info, const SlotValues& inputs) {
  exchange.begin(info);
  for (Slot s = 0; s < inputs.size(); ++s) exchange.residence().store(exchange.values(s).data(), std::as_bytes(std::span(inputs[s])));
}

void Rank::round(const RoundInfo& info, const SlotValues& inputs) {
  begin_with(info, inputs);
  std::vector<Slot> order(trial.slots.size());
  std::iota(order.begin(), order.end(), Slot{0});
  const Draw draw = Draw(trial.order_seed).fork(info.step).fork(static_cast<uint64_t>(index()));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[draw.below(i, i)]);
  for (const Slot s : order) exchange.ready(s);
  exchange.finish();
}

SlotValues Rank::values() {
  SlotValues all;
  for (Slot s = 0; s < trial.slots.size(); ++s) {
    Values& of_slot = all.emplace_back(exchange.values(s).size());
    exchange.residence().fetch(std::as_writable_bytes(std::span(of_slot)), exchange.values(s).data());
  }
  return all;
}

SlotValues Rank::residuals() {
  SlotValues all;
  for (Slot s = 0; s < trial.slots.size(); ++s) {
    const auto residual = exchange.residual(s);
    all.emplace_back(residual.begin(), residual.end());
    all.back().resize(trial.slots[s].elems());
  }
  return all;
}

void expect_model_bits(const Trial& trial, const std::vector<RoundInfo>& rounds) {
  std::vector<SlotValues> means;
  std::vector<std::vector<SlotValues>> residuals;  // [round][rank]
  SerialExchange serial = trial.serial();
  for (const RoundInfo& info : rounds) {
    means.push_back(info.dense ? serial.dense_round(trial.inputs(info.step), info.scale)
                               : serial.round(trial.inputs(info.step), info.scale));
    residuals.emplace_back();
    for (int rank = 0; rank < trial.ranks; ++rank) residuals.back().push_back(serial.residuals(rank));
  }
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    for (size_t k = 0; k < rounds.size(); ++k) {
      SCOPED_TRACE("rank " + std::to_string(rank.index()) + ", round " + std::to_string(k));
      rank.round(rounds[k], trial.inputs(rounds[k].step)[static_cast<size_t>(rank.index())]);
      EXPECT_TRUE(same_bits(rank.values(), means[k])) << "mean";
      EXPECT_TRUE(same_bits(rank.residuals(), residuals[k][static_cast<size_t>(rank.index())])) << "residual";
    }
  });
}

::testing::AssertionResult same_bits(const SlotValues& found, const SlotValues& expected) {
  if (found.size() != expected.size()) return ::testing::AssertionFailure() << found.size() << " slots instead of " << expected.size();
  for (size_t s = 0; s < found.size(); ++s) {
    if (found[s].size() != expected[s].size()) return ::testing::AssertionFailure() << "slot " << s << " has another size";
    for (size_t i = 0; i < found[s].size(); ++i) {
      if (std::memcmp(&found[s][i], &expected[s][i], sizeof(float)) == 0) continue;
      return ::testing::AssertionFailure() << "slot " << s << " element " << i << ": " << found[s][i] << " instead of " << expected[s][i];
    }
  }
  return ::testing::AssertionSuccess();
}

std::vector<Failure> failures_of(int num_ranks, const std::function<void(comm::Transport&)>& body) {
  std::vector<Failure> failures(static_cast<size_t>(num_ranks));
  test::run_ranks(num_ranks, [&](comm::Transport& transport) {
    Failure& own = failures[static_cast<size_t>(transport.world_rank())];
    try {
      body(transport);
    } catch (const Error& e) {
      own = {e.code(), e.what(), dynamic_cast<const NonFiniteError*>(&e) != nullptr, dynamic_cast<const CommError*>(&e) != nullptr};
    }
  });
  return failures;
}

void expect_comm_errors(const std::vector<Failure>& failures, const ::testing::Matcher<std::string>& what) {
  for (size_t rank = 0; rank < failures.size(); ++rank) {
    EXPECT_TRUE(failures[rank].is_comm_error) << "rank " << rank << " ended with: " << failures[rank].what;
    EXPECT_EQ(failures[rank].code, ExitCode::comm) << "rank " << rank;
    EXPECT_THAT(failures[rank].what, ::testing::AllOf(what, ::testing::Not(::testing::HasSubstr("no message from")))) << "rank " << rank;
  }
}

}  // namespace thinwire::exchange::testing
