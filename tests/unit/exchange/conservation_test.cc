// Error feedback loses nothing: what 200 rounds sent and what is left in the residual add up to what went in, on each rank and over ranks.
//
// Inputs are multiples of 2^-8. With decay 1 all sums then fit 24 bits and codecs round to multiples of it too, so the equality is exact.
#include <algorithm>
#include <cmath>

#include "base/draw.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/spy_codec.h"
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

struct Ledger {
  Sums in = Sums(kTotal), sent = Sums(kTotal), mean = Sums(kTotal), forgotten = Sums(kTotal), bound = Sums(kTotal), left = Sums(kTotal);
};

// Notes what this rank's contributions are once decoded, by their place in the flat array.
CodecPtr noting(const CodecPtr& codec, Sums& sent) {
  return std::make_shared<SpyCodec>(codec, [&sent, codec](const SpyCodec::Encoded& encoded) {
    if (!encoded.has_residual) return;  // the combined leg
    const bool slices = codec->traits(encoded.layer).combine == compressors::Combine::sum;
    const size_t begin = slices ? encoded.layer.id : encoded.layer.id == 1 ? 0 : kSecond;  // the last slot comes first
    Values decoded(static_cast<size_t>(encoded.layer.elems()), 0.0f);
    std::vector<std::byte> scratch(codec->traits(encoded.layer).scratch_bytes);
    compressors::Context context;
    context.scratch = scratch;
    codec->decode_add(encoded.layer, encoded.payload, 1, decoded.data(), context);
    for (size_t i = 0; i < decoded.size(); ++i) sent[begin + i] += decoded[i];
  });
}

std::vector<Ledger> run(int ranks, const CodecPtr& codec, float scale, double decay) {
  std::vector<Ledger> ledgers(static_cast<size_t>(ranks));
  test::run_ranks(ranks, [&](comm::Transport& transport) {
    Ledger& ledger = ledgers[static_cast<size_t>(transport.world_rank())];
    const CodecPtr noted = noting(codec, ledger.sent);
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, SlotTable({slot("first", kFirst, noted), slot("second", kSecond, noted)}, 1'000'000), {"ef14", decay}, true,
                      1);
    const auto flat_residual = [&](size_t i) { return i < kSecond ? exchange.residual(1)[i] : exchange.residual(0)[i - kSecond]; };
    for (uint64_t step = 1; step <= kRounds; ++step) {
      const Values inputs = multiples(step, driver.rank());
      for (size_t i = 0; i < kTotal; ++i) {
        const double kept = static_cast<double>(static_cast<float>(decay)) * flat_residual(i),
                     fresh = static_cast<double>(scale) * inputs[i];
        ledger.in[i] += fresh;
        ledger.forgotten[i] += flat_residual(i) - kept;
        ledger.bound[i] += 0x1p-23 * (std::fabs(kept) + std::fabs(fresh));  // two roundings to fp32, each within 2^-24 of its result
      }
      exchange.begin({step, scale, false});
      std::ranges::copy(inputs, exchange.flat().begin());
      exchange.ready(1), exchange.ready(0);
      exchange.finish();
      for (size_t i = 0; i < kTotal; ++i) ledger.mean[i] += exchange.flat()[i];
    }
    for (size_t i = 0; i < kTotal; ++i) ledger.left[i] = flat_residual(i);
  });
  return ledgers;
}

const std::vector<CodecPtr>& lossy_codecs() {
  static const std::vector<CodecPtr> codecs = {topk_codec(0.05, 128).codec, topk_codec(0.5, 4096).codec, bf16_codec().codec};
  return codecs;
}

TEST(Conservation, HoldsExactlyOnEveryRank) {
  for (const CodecPtr& codec : lossy_codecs()) {
    for (const int ranks : {1, 2, 3}) {
      for (const Ledger& ledger : run(ranks, codec, 0.5f, 1.0)) {
        for (size_t i = 0; i < kTotal; ++i) ASSERT_EQ(ledger.sent[i] + ledger.left[i], ledger.in[i]) << codec->name() << " element " << i;
      }
    }
  }
}

TEST(Conservation, HoldsExactlyForTheMeanOverRanks) {
  for (const int ranks : {1, 2, 4}) {  // their 1/N is exact
    const auto ledgers = run(ranks, topk_codec(0.05, 128).codec, 0.25f, 1.0);
    for (size_t i = 0; i < kTotal; ++i) {
      double in = 0, left = 0;
      for (const Ledger& ledger : ledgers) in += ledger.in[i] / ranks, left += ledger.left[i] / ranks;
      for (const Ledger& ledger : ledgers) ASSERT_EQ(ledger.mean[i] + left, in) << ranks << " ranks, element " << i;
    }
  }
}

TEST(Conservation, LosesWhatDecayForgetsAndNoMore) {
  for (const CodecPtr& codec : lossy_codecs()) {
    for (const Ledger& ledger : run(2, codec, 1.0f, 0.95)) {
      for (size_t i = 0; i < kTotal; ++i) {
        ASSERT_NEAR(ledger.sent[i] + ledger.left[i] + ledger.forgotten[i], ledger.in[i], ledger.bound[i])
            << codec->name() << " element " << i;
      }
    }
  }
}

}  // namespace
}  // namespace thinwire::exchange
