#include "compressors/sparseloco/bins.h"

#include <algorithm>
#include <cmath>

#include "compressors/sparseloco/bin.h"
#include "compressors/sparseloco/run_sum.h"

namespace thinwire::compressors {

void fit_bins(std::span<const float> values, std::span<float> levels, std::span<uint8_t> codes) {
  const double n = static_cast<double>(values.size());
  const double shift = run_sum(values, [](float value) { return static_cast<double>(value); }) / n;
  const double squares = run_sum(values, [&](float value) { return (value - shift) * (value - shift); });
  const BinGrid grid = BinGrid::of(shift, std::sqrt(squares / (n - 1)), static_cast<double>(levels.size()));

  std::array<RunSum<Bin>, kMostBins> bins;
  auto code = codes.begin();
  for_each_run(values, [&](std::span<const float> run) {
    for (const float value : run) {
      *code = grid.code(std::nearbyint(grid.place(value)));
      bins[*code++].run().add(value);
    }
    for (size_t i = 0; i < levels.size(); ++i) bins[i].end_run();
  });
  std::transform(bins.begin(), bins.begin() + static_cast<std::ptrdiff_t>(levels.size()), levels.begin(),
                 [](RunSum<Bin>& bin) { return bin.total().level(); });
}

}  // namespace thinwire::compressors
