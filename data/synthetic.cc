#include <fmt/format.h>

#include <array>

#include "base/draw.h"
#include "base/text.h"
#include "data/sources.h"

namespace thinwire::data {
namespace {

constexpr uint64_t kSymbols = 64;    // printable ASCII from the space on, so that a sample can be shown
constexpr uint64_t kSuccessors = 4;  // of each symbol, equally likely: two bits per byte at most
constexpr int kStepsPerDraw = 64 / 2;

}  // namespace

// A Markov chain of order one: a model that learns anything gets from 6 bits per byte to 2 within a few steps.
SourceBytes make_synthetic(uint64_t seed) {
  const Draw draw = Draw(seed).fork("synthetic data");
  const Draw choice = draw.fork("successors"), walk = draw.fork("walk");
  std::array<std::array<uint8_t, kSuccessors>, kSymbols> successors;
  for (uint64_t i = 0; i < kSymbols * kSuccessors; ++i) {
    successors[i / kSuccessors][i % kSuccessors] = static_cast<uint8_t>(choice.below(i, kSymbols));
  }
  std::vector<uint8_t> bytes(kSyntheticBytes);
  uint8_t symbol = 0;
  uint64_t bits = 0;
  for (size_t i = 0; i < bytes.size(); ++i, bits >>= 2) {
    if (i % kStepsPerDraw == 0) bits = walk.bits(i / kStepsPerDraw);
    symbol = successors[symbol][bits & 3];
    bytes[i] = static_cast<uint8_t>(' ' + symbol);
  }
  return {std::move(bytes), fmt::format("SYNTHETIC data, for throughput only: {} of a Markov chain", human_bytes(kSyntheticBytes))};
}

}  // namespace thinwire::data
