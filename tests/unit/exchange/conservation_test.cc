// EF14 loses nothing: the means of 200 rounds, what is left in residuals and what owners of slices still owe add up to what went in.
//
// Inputs are multiples of 2^-8. With decay 1 all sums then fit 24 bits and codecs round to multiples of it too, so the equality is exact.
#include <algorithm>
#include <cmath>

#include "base/draw.h"
#include "comm/collectives.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using Sums = std::vector<double>;

constexpr int kRounds = 200;
constexpr size_t kFirst = 700, kSecond = 41, kTotal = kFirst + kSecond;  // elements of the two slots, in one bucket

// Mostly small, a few up to 16; in the order of the flat array.
Values multiples(uint64_t step, int rank) {
  const Draw draw = Draw(step).fork(static_cast<uint64_t>(rank));
  Values values(kTotal);
  for (size_t i = 0; i < kTotal; ++i) {
    const uint64_t range = draw.below(2 * i, 10) == 0 ? 8192 : 64;
    values[i] = (static_cast<float>(draw.below(2 * i + 1, range)) - static_cast<float>(range) / 2) / 256;
  }
  return values;
}

// Over all ranks, divided by their number, in the order of the flat array.
struct Ledger {
  Sums in = Sums(kTotal), mean = Sums(kTotal), forgotten = Sums(kTotal), left = Sums(kTotal), bound = Sums(kTotal);
};

// What this rank keeps of each element: its residual, and N times what it owes of the mean.
Sums kept_by(Exchange& exchange) {
  Sums kept(kTotal);
  for (const StatePiece& piece : exchange.state()) {
    const auto values = floats_of(piece);
    const size_t begin = exchange.table().offset(piece.slot);
    if (piece.name.starts_with("residual/")) {
      for (size_t i = 0; i < values.size(); ++i) kept[begin + i] += values[i];
    }
  }
  return kept;
}

Ledger run(int ranks, const CodecPtr& codec, float scale, double decay) {
  std::vector<Ledger> ledgers(static_cast<size_t>(ranks));
  test::run_ranks(ranks, [&](comm::Transport& transport) {
    Ledger& ledger = ledgers[static_cast<size_t>(transport.world_rank())];
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, SlotTable({slot("first", kFirst, codec), slot("second", kSecond, codec)}, 1'000'000), {"ef14", decay}, true,
                      1);
    // In one bucket, what a rank owes begins where its slice of the flat array does.
    const auto owed = [&] {
      Sums all(kTotal);
      size_t at = comm::owned_slice(kTotal, driver.rank(), ranks).begin;
      for (const StatePiece& piece : exchange.state()) {
        if (!piece.name.starts_with("owed/")) continue;
        for (const float value : floats_of(piece)) all[at++] = value;
      }
      return all;
    };
    const double remains = static_cast<float>(decay);
    for (uint64_t step = 1; step <= kRounds; ++step) {
      const Values inputs = multiples(step, driver.rank());
      const Sums residual = kept_by(exchange), debt = owed();
      for (size_t i = 0; i < kTotal; ++i) {
        const double fresh = static_cast<double>(scale) * inputs[i];
        ledger.in[i] += fresh / ranks;
        ledger.forgotten[i] += (1 - remains) * (residual[i] / ranks + debt[i]);
        ledger.bound[i] += 0x1p-22 * (std::fabs(residual[i]) + std::fabs(fresh) + std::fabs(debt[i]));
      }
      exchange.begin({step, scale, false});
      std::ranges::copy(inputs, exchange.flat().begin());
      exchange.ready(1), exchange.ready(0);
      exchange.finish();
      for (size_t i = 0; i < kTotal; ++i) ledger.mean[i] += driver.rank() == 0 ? exchange.flat()[i] : 0;
    }
    const Sums residual = kept_by(exchange), debt = owed();
    for (size_t i = 0; i < kTotal; ++i) ledger.left[i] = residual[i] / ranks + debt[i];
  });
  Ledger all;
  for (const Ledger& ledger : ledgers) {
    for (size_t i = 0; i < kTotal; ++i) {
      all.in[i] += ledger.in[i];
      all.mean[i] += ledger.mean[i];
      all.forgotten[i] += ledger.forgotten[i];
      all.left[i] += ledger.left[i];
      all.bound[i] += ledger.bound[i];
    }
  }
  return all;
}

const std::vector<CodecPtr>& lossy_codecs() {
  static const std::vector<CodecPtr> codecs = {topk_codec(0.05, 128).codec, topk_codec(0.5, 4096).codec, bf16_codec().codec};
  return codecs;
}

TEST(Conservation, HoldsExactly) {
  for (const CodecPtr& codec : lossy_codecs()) {
    for (const int ranks : {1, 2, 4}) {  // their 1/N is exact
      const Ledger ledger = run(ranks, codec, 0.5f, 1.0);
      for (size_t i = 0; i < kTotal; ++i) {
        ASSERT_EQ(ledger.mean[i] + ledger.left[i], ledger.in[i]) << codec->name() << " on " << ranks << " ranks, element " << i;
      }
    }
  }
}

TEST(Conservation, LosesWhatDecayForgetsAndNoMore) {
  for (const CodecPtr& codec : lossy_codecs()) {
    for (const int ranks : {2, 3}) {
      const Ledger ledger = run(ranks, codec, 1.0f, 0.95);
      for (size_t i = 0; i < kTotal; ++i) {
        ASSERT_NEAR(ledger.mean[i] + ledger.left[i] + ledger.forgotten[i], ledger.in[i], ledger.bound[i])
            << codec->name() << " on " << ranks << " ranks, element " << i;
      }
    }
  }
}

}  // namespace
}  // namespace thinwire::exchange
