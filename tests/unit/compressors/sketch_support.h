// What the tests of sketches share: whole exchanges between simulated ranks, and an independent singular value decomposition.
#pragma once
#include <memory>
#include <vector>

#include "support.h"

namespace thinwire::compressors::testing {

// What one exchange leaves: what each rank's own last part decodes to, and what the mean decodes to.
struct Exchanged {
  std::vector<std::vector<float>> own;
  std::vector<float> all;
};

// Ranks that exchange one layer again and again. Each has its own memory, as in a run; parts are averaged in rank order.
class SketchRanks {
 public:
  SketchRanks(std::shared_ptr<const Sketch> sketch, Layer layer, size_t ranks, uint64_t seed = 7);

  Exchanged exchange(const std::vector<std::vector<float>>& a);
  const std::vector<float>& memory(size_t rank) const { return memories_[rank]; }

 private:
  std::vector<float> decode(size_t rank, const std::vector<float>& last);

  std::shared_ptr<const Sketch> sketch_;
  Layer layer_;
  Draw shared_;
  uint64_t exchanges_ = 0;
  Scratch scratch_;
  std::vector<std::vector<float>> memories_;
};

// Largest first. One-sided Jacobi on the columns (Hestenes 1958), in double.
std::vector<double> singular_values(Layer layer, const std::vector<float>& values);

// The sum of the squares from number `rank` on (from 0): what a best approximation of that rank leaves.
double squares_from(const std::vector<double>& singular, size_t rank);

// A sum of `rank` outer products of normal vectors, the r-th scaled by decay^r.
std::vector<float> low_rank_values(Layer layer, size_t rank, double decay, uint64_t seed);

double squared_distance(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace thinwire::compressors::testing
