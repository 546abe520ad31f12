#include "checkpoint/exact/entropy.h"

#include <algorithm>
#include <cmath>

#include "checkpoint/exact/counts.h"

namespace thinwire::checkpoint::exact {
namespace {

constexpr double kTableBytesPerSymbol = 1.3;  // a symbol and its frequency in the table of an rANS stream, about
constexpr double kCoderBytes = 30;            // lengths and final states of the coder
constexpr double kWorthIt = 0.995;            // below this share of its bytes a plane is coded

const std::array<float, kMostSampled + 1>& bits_of_counts() {  // n log2(n)
  static const auto table = [] {
    std::array<float, kMostSampled + 1> bits{};
    for (size_t n = 1; n < bits.size(); ++n) bits[n] = static_cast<float>(static_cast<double>(n) * std::log2(static_cast<double>(n)));
    return bits;
  }();
  return table;
}

}  // namespace

void ByteCounts::add(ConstBytes bytes) {
  const auto added = counts_of<uint16_t>(bytes.size(), [bytes](size_t i) { return static_cast<size_t>(bytes[i]); });
  for (size_t b = 0; b < counts_.size(); ++b) counts_[b] += added[b];
  total_ += static_cast<uint32_t>(bytes.size());
}

double ByteCounts::coded_bytes(size_t of_bytes) const {
  const auto& bits_of = bits_of_counts();
  double bits = bits_of[total_];
  size_t symbols = 0;
  for (const uint16_t count : counts_) {
    bits -= bits_of[count];
    symbols += count != 0 ? 1 : 0;
  }
  const double scale = static_cast<double>(of_bytes) / total_;
  if (scale > 1) bits += static_cast<double>(symbols - 1) / (2 * std::log(2.0));  // a sample looks more regular than it is (Miller, Madow)
  const double coded = bits / 8 * scale + kTableBytesPerSymbol * static_cast<double>(symbols) + kCoderBytes;
  const auto raw = static_cast<double>(of_bytes);
  return coded < kWorthIt * raw ? coded : raw;
}

double ByteCounts::most_frequent() const { return static_cast<double>(*std::ranges::max_element(counts_)) / total_; }

}  // namespace thinwire::checkpoint::exact
