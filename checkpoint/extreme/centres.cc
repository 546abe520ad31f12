#include "checkpoint/extreme/centres.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"

namespace thinwire::checkpoint::extreme {
namespace {

constexpr size_t kClusters = kCentres - 1;
constexpr int kRounds = 30;

// bf16 above zero for what is above zero.
uint16_t rounded(double value) {
  const uint16_t half = to_bf16(static_cast<float>(value));
  return value > 0 && (half & 0x7fff) == 0 ? uint16_t{1} : half;
}

// Sorted numbers in clusters of neighbours; cluster c is [begin[c], begin[c + 1]).
struct Clusters {
  std::vector<double> sums;  // of the first 0, 1, ... numbers
  std::array<size_t, kClusters + 1> begin{};

  double mean(size_t c) const {
    return begin[c] == begin[c + 1] ? 0 : (sums[begin[c + 1]] - sums[begin[c]]) / static_cast<double>(begin[c + 1] - begin[c]);
  }
};

// False where there are more values than clusters.
bool each_its_own(const std::vector<double>& sorted, std::array<size_t, kClusters + 1>& begin) {
  size_t values = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && sorted[i] == sorted[i - 1]) continue;
    if (values == kClusters) return false;
    begin[values++] = i;
  }
  for (; values <= kClusters; ++values) begin[values] = sorted.size();
  return true;
}

// Where clusters first begin: at equal shares of the fourth root of the density. The best intervals of many have the third root (P. Panter,
// W. Dite, Proc. IRE 39, 1951), which no processor takes exactly.
std::array<size_t, kClusters + 1> first_cuts(const std::vector<double>& sorted) {
  constexpr size_t kBins = 1024;
  std::array<size_t, kBins + 1> begin{};
  std::array<double, kBins + 1> share{};
  const double low = sorted.front(), width = (sorted.back() - low) / kBins;
  for (size_t b = 0; b < kBins; ++b) {
    begin[b + 1] = b + 1 == kBins
                       ? sorted.size()
                       : static_cast<size_t>(std::ranges::upper_bound(sorted, low + width * static_cast<double>(b + 1)) - sorted.begin());
    share[b + 1] = share[b] + std::sqrt(std::sqrt(static_cast<double>(begin[b + 1] - begin[b])));
  }
  std::array<size_t, kClusters + 1> cuts{};
  for (size_t c = 1, b = 0; c <= kClusters; ++c) {
    const double wanted = share[kBins] * static_cast<double>(c) / kClusters;
    while (b < kBins && share[b] < wanted) ++b;
    cuts[c] = c == kClusters ? sorted.size() : begin[b];
  }
  return cuts;
}

// Lloyd's algorithm in one dimension: clusters are intervals of the sorted numbers, cut half-way between the means of neighbours.
Clusters cluster(const std::vector<double>& sorted) {
  Clusters clusters;
  clusters.sums.assign(1, 0.0);
  for (const double x : sorted) clusters.sums.push_back(clusters.sums.back() + x);
  if (sorted.empty() || each_its_own(sorted, clusters.begin)) return clusters;
  clusters.begin = first_cuts(sorted);
  for (int round = 0; round < kRounds; ++round) {
    auto next = clusters.begin;
    for (size_t c = 1; c < kClusters; ++c) {
      if (clusters.begin[c - 1] == clusters.begin[c] || clusters.begin[c] == clusters.begin[c + 1]) continue;
      const double cut = (clusters.mean(c - 1) + clusters.mean(c)) / 2;
      next[c] = static_cast<size_t>(std::ranges::upper_bound(sorted, cut) - sorted.begin());
    }
    for (size_t c = 1; c < kClusters; ++c) next[c] = std::max(next[c], next[c - 1]);
    if (next == clusters.begin) break;
    clusters.begin = next;
  }
  return clusters;
}

// Of magnitudes, which it reorders.
float median_of(std::vector<float>& magnitudes) {
  const auto middle = magnitudes.begin() + static_cast<ptrdiff_t>(magnitudes.size() / 2);
  std::ranges::nth_element(magnitudes, middle);
  return *middle;
}

}  // namespace

float threshold_by_median(std::span<const float> values, double times) {
  if (values.empty() || times == 0) return 0;
  std::vector<float> magnitudes;
  for (const float x : values) magnitudes.push_back(std::fabs(x));
  return static_cast<float>(times * median_of(magnitudes));
}

float threshold_by_mean(std::span<const float> values, double times) {
  double sum = 0;
  for (const float x : values) sum += std::fabs(x);
  return values.empty() ? 0 : static_cast<float>(times * sum / static_cast<double>(values.size()));
}

Centres find_centres(std::span<const float> values, std::span<const uint8_t> stays, Spacing spacing, float pruned,
                     std::span<uint8_t> indices) {
  check(values.size() == stays.size() && values.size() == indices.size(), "an index for each number");
  const auto placed = [&](float x) { return spacing == Spacing::roots ? std::sqrt(static_cast<double>(x)) : static_cast<double>(x); };
  std::vector<double> sorted;
  for (size_t i = 0; i < values.size(); ++i) {
    if (stays[i] != 0) sorted.push_back(placed(values[i]));
  }
  std::ranges::sort(sorted);
  const Clusters clusters = cluster(sorted);
  Centres centres{rounded(pruned)};
  for (size_t c = 0; c < kClusters; ++c) {
    double sum = 0;  // of what the roots are of
    for (size_t i = clusters.begin[c]; i < clusters.begin[c + 1]; ++i) sum += spacing == Spacing::roots ? sorted[i] * sorted[i] : sorted[i];
    const size_t count = clusters.begin[c + 1] - clusters.begin[c];
    const uint16_t empty = c == 0 ? uint16_t{0} : centres[c];
    centres[c + 1] = count == 0 ? empty : rounded(sum / static_cast<double>(count));
  }
  std::array<double, kClusters - 1> cuts{};  // cluster c + 1 begins at cuts[c]
  for (size_t c = 0; c + 1 < kClusters; ++c) {
    const size_t begin = clusters.begin[c + 1];
    cuts[c] = begin < sorted.size() ? sorted[begin] : std::numeric_limits<double>::infinity();
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const auto above = std::ranges::upper_bound(cuts, placed(values[i])) - cuts.begin();
    indices[i] = stays[i] == 0 ? uint8_t{0} : static_cast<uint8_t>(above + 1);
  }
  return centres;
}

}  // namespace thinwire::checkpoint::extreme
