// The residence of LibTorch's operations, which a build without nvcc uses on a GPU, held to the host's on a device that is the host.
#include "trainer/host_memory.h"
#include "trainer/residence.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/draw.h"
#include "compressors/registry.h"
#include "exchange/schedule.h"
#include "tests/support/run_ranks.h"

namespace thinwire::trainer {
namespace {

using exchange::Array;
using exchange::Residence;
using Values = std::vector<float>;

constexpr size_t kElems = 1000;

Values numbers(uint64_t seed) {
  Values values(kElems);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(Draw(seed).normal(i));
  return values;
}

Array array(Residence& residence, const Values& values) {
  Array made(residence, values.size());
  residence.store(made.data(), std::as_bytes(std::span(values)));
  return made;
}

Values fetched(const Array& array) {
  array.home().finish();
  Values values(array.span().size());
  array.home().fetch(std::as_writable_bytes(std::span(values)), array.data());
  return values;
}

// What each operation leaves, one after another.
std::vector<Values> results(Residence& residence) {
  std::vector<Values> all;
  const Array a = array(residence, numbers(1)), b = array(residence, numbers(2)), momentum = array(residence, numbers(3));
  const Array out(residence, kElems);
  all.push_back(fetched(out));
  residence.subtract(out.span(), a.data(), b.data());
  all.push_back(fetched(out));
  residence.scale(out.span(), 0.3f);
  all.push_back(fetched(out));
  residence.apply_outer(out.span(), a.data(), nullptr, {.lr = 0.7f, .mu = 0.9f});
  all.push_back(fetched(out));
  residence.apply_outer(out.span(), b.data(), momentum.data(), {.lr = 0.7f, .mu = 0.9f});
  all.push_back(fetched(out));
  all.push_back(fetched(momentum));
  residence.follow(out.span(), a.data(), b.data());
  all.push_back(fetched(out));
  EXPECT_NEAR(residence.square_sum(out.span()) / exchange::host_residence().square_sum(all.back()), 1, 1e-12);
  residence.copy(out.data(), a.span());
  all.push_back(fetched(out));
  residence.zero(out.span());
  all.push_back(fetched(out));
  return all;
}

TEST(TorchResidence, ComputesTheBitsOfTheHost) {
  const auto torch = make_torch_residence(at::kCPU);
  EXPECT_FALSE(torch->is_host());
  EXPECT_EQ(results(*torch), results(exchange::host_residence()));
}

Values end_of_rounds(const exchange::ExchangeOptions& options, bool torch) {
  compressors::CodecChoice choice;
  choice.codec = "quantize";
  std::vector<exchange::SlotSpec> slots;
  for (const char* name : {"a", "b"})
    slots.push_back({.name = name, .rows = 1, .cols = kElems, .codec = choice.make(), .text = "quantize"});
  std::vector<Values> ends(2);
  test::run_ranks(2, [&](comm::Transport& transport) {
    comm::Driver driver(transport, 60);
    const auto there = make_torch_residence(at::kCPU);
    Residence& residence = torch ? *there : exchange::host_residence();
    exchange::Exchange exchange(driver, exchange::SlotTable(slots, 4 * kElems), {"ef14", 0.9}, true, 1, {}, residence);
    EXPECT_EQ(exchange.elems_through_host().size(), torch ? 1u : 0u);
    std::vector<Array> parameters;
    std::vector<std::span<float>> spans;
    for (uint64_t s = 0; s < 2; ++s) spans.push_back(parameters.emplace_back(array(residence, numbers(4 + s))).span());
    const auto schedule = exchange::make_schedule(options, exchange, spans);
    const Array direction = array(residence, numbers(7 + static_cast<uint64_t>(driver.rank()))), nothing(residence, kElems);
    for (uint64_t step = 1; step <= 12; ++step) {
      schedule->begin_step({step, 2, false, step == 12});
      for (exchange::Slot slot = 2; slot-- > 0;) {
        residence.follow(schedule->gradient(slot), direction.data(), nothing.data());
        schedule->gradient_ready(slot);
      }
      schedule->reduce();
      for (exchange::Slot slot = 0; slot < 2; ++slot)
        residence.apply_outer(spans[slot], schedule->gradient(slot).data(), nullptr, {.lr = 0.1f});
      schedule->end_step();
    }
    HostMemory host;
    Values& end = ends[static_cast<size_t>(driver.rank())];
    for (const auto& piece : schedule->state()) {
      if (piece.dtype != DType::f32) continue;
      const auto bytes = host.of(piece);
      const auto* floats = reinterpret_cast<const float*>(bytes.data());
      end.insert(end.end(), floats, floats + bytes.size() / sizeof(float));
    }
    for (const Array& parameter : parameters) std::ranges::copy(fetched(parameter), std::back_inserter(end));
  });
  ends[0].insert(ends[0].end(), ends[1].begin(), ends[1].end());
  return ends[0];
}

TEST(TorchResidence, CarriesSchedulesThroughTheHost) {
  exchange::ExchangeOptions every_step, rounds;
  rounds.schedule = "local_steps";
  rounds.every = 3;
  rounds.delay = 1;
  rounds.outer.name = "nesterov";
  for (const auto& options : {every_step, rounds}) EXPECT_EQ(end_of_rounds(options, true), end_of_rounds(options, false));
}

TEST(HostMemory, StoresWhatWasWrittenIntoItsCopies) {
  const auto torch = make_torch_residence(at::kCPU);
  const Array numbers_there = array(*torch, numbers(1));
  const exchange::StatePiece piece{.name = "x", .memory = std::as_writable_bytes(numbers_there.span()), .home = torch.get()};
  HostMemory host;
  const auto bytes = host.of(piece);
  EXPECT_NE(bytes.data(), piece.memory.data());
  const Values other = numbers(2);
  std::ranges::copy(std::as_bytes(std::span(other)), bytes.begin());
  EXPECT_EQ(fetched(numbers_there), numbers(1));
  host.store();
  EXPECT_EQ(fetched(numbers_there), other);
}

}  // namespace
}  // namespace thinwire::trainer
