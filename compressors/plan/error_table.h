// What each candidate would lose of each layer: one rank's part of the table that a plan is made from.
//
// A row is a layer: the squared error of every candidate, then |a|^2. Ranks add their tables up (all doubles, one all-reduce). A candidate
// that fails on a layer, or an error that is not finite, counts as infinite. `none` loses nothing.
//
// Codecs that can be cut (Traits::split_elems) are measured on a sample of the layer, blocks of about 4096 elements, one drawn from each
// of equally long strata; errors are scaled by |a|^2 / |sample|^2. With m blocks, and r the block-to-block spread of error / norm relative
// to its mean, the relative standard error is about r / sqrt(m): below 1 % where r is 3 % and m = 8, as on noise; it grows with layers of
// which few blocks carry the norm. All candidates of a family share one sample, so that the comparison between them is better than that.
// Sketches are measured on the whole layer, after a first pass that warms their memory.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/draw.h"
#include "compressors/plan/candidates.h"

namespace thinwire::compressors {

class ErrorTable {
 public:
  ErrorTable(size_t layers, size_t candidates) : stride_(candidates + 1), values_(layers * stride_, 0.0) {}

  std::span<double> flat() { return values_; }  // to be summed over ranks
  std::span<double> errors(size_t layer) { return std::span(values_).subspan(layer * stride_, stride_ - 1); }
  std::span<const double> errors(size_t layer) const { return std::span(values_).subspan(layer * stride_, stride_ - 1); }
  double& squared_norm(size_t layer) { return values_[layer * stride_ + stride_ - 1]; }
  double squared_norm(size_t layer) const { return values_[layer * stride_ + stride_ - 1]; }
  size_t layers() const { return values_.size() / stride_; }
  size_t candidates() const { return stride_ - 1; }

 private:
  size_t stride_;
  std::vector<double> values_;
};

// Measures `a`, the layer's numbers (L-GreCo: gradients summed over some steps, without the residual), into the table's row. sample_elems
// 0: everything. Deterministic in its arguments; `draw` should differ between plans.
void measure_layer(const CandidateSet& set, Layer layer, std::span<const float> a, int64_t sample_elems, const Draw& draw,
                   ErrorTable& table, size_t row);

// Blocks of a, one after the other: the starts of at most sample_elems / block_elems blocks (at least one), ascending multiples of
// block_elems, one from each stratum. All of them, including a shorter last one, where the sample would not be smaller than the layer.
std::vector<size_t> sample_blocks(size_t elems, size_t block_elems, size_t sample_elems, const Draw& draw);

}  // namespace thinwire::compressors
