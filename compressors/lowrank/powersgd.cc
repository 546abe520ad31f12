#include "compressors/lowrank/powersgd.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "compressors/lowrank/basis.h"
#include "compressors/lowrank/error_curve.h"
#include "compressors/lowrank/kernels.h"

namespace thinwire::compressors {
namespace {

using lowrank::Matrix;

// The sizes of a compressed layer, and where its memory holds what: P, then Q.
struct Shape {
  Shape(Layer layer, size_t layer_rank)
      : rows(static_cast<size_t>(layer.rows)), cols(static_cast<size_t>(layer.cols)), rank(layer_rank), p_elems(rows * rank) {}
  size_t q_elems() const { return cols * rank; }
  template <class T>
  std::span<T> p(std::span<T> memory) const {
    return memory.first(p_elems);
  }
  template <class T>
  std::span<T> q(std::span<T> memory) const {
    return memory.subspan(p_elems);
  }
  size_t work_elems() const { return std::max(p_elems, q_elems()); }  // doubles for either basis

  size_t rows, cols, rank, p_elems;
};

std::span<double> doubles(MutableBytes scratch, size_t count) {
  check(scratch.size() >= count * sizeof(double), "Context::scratch has traits().scratch_bytes");
  return {reinterpret_cast<double*>(scratch.data()), count};
}

Draw first_draw(Layer layer, const Draw& shared) { return shared.fork(layer.id).fork("first basis"); }
Draw next_draw(Layer layer, const Draw& shared) { return shared.fork(layer.id).fork("next basis"); }

}  // namespace

void describe(config::Section& section, PowersgdOptions& options) {
  section.integer("rank", options.rank, {1, lowrank::kMostRank}, "columns of both factors; a matrix with fewer rows or columns has fewer");
  section.real("min_compression", options.min_compression, {0.0, 1e6},
               "a matrix travels as factors only if they are this many times smaller; 0: always");
  section.boolean("warm_start", options.warm_start, "start each exchange from the basis of the last; else from a drawn one");
}

std::vector<double> squared_errors_of(const PowersgdOptions& options, Layer layer, std::span<const float> a,
                                      std::span<const double> ranks) {
  std::vector<int> compressed;  // 0: not
  for (const double rank : ranks) {
    PowersgdOptions at = options;
    at.rank = static_cast<int64_t>(rank);
    const bool raw = PowersgdSketch(at).traits(layer).delta == 1;
    compressed.push_back(raw ? 0 : static_cast<int>(std::min({at.rank, layer.rows, layer.cols})));
  }
  std::vector<double> errors(ranks.size(), 0.0);
  const int largest = compressed.empty() ? 0 : *std::ranges::max_element(compressed);
  if (largest == 0) return errors;
  const std::vector<double> curve = low_rank_squared_errors(layer, a, largest);
  for (size_t i = 0; i < errors.size(); ++i) {
    if (compressed[i] > 0) errors[i] = curve[static_cast<size_t>(compressed[i]) - 1];
  }
  return errors;
}

size_t PowersgdSketch::rank_of(Layer layer) const {
  const int64_t rank = std::min({options_.rank, layer.rows, layer.cols});
  const double factors = static_cast<double>((layer.rows + layer.cols) * rank);
  return factors * options_.min_compression < static_cast<double>(layer.elems()) ? static_cast<size_t>(rank) : 0;
}

Traits PowersgdSketch::traits(Layer layer) const {
  Traits traits;
  traits.combine = Combine::sketch;
  traits.delta = 1;
  for (const size_t elems : round_elems(layer)) traits.worst_bytes += elems * sizeof(float);
  traits.exact_bytes = traits.worst_bytes;
  const size_t rank = rank_of(layer);
  if (rank == 0) {
    traits.why_raw = "its factors would not be powersgd.min_compression times smaller";
    return traits;
  }
  const Shape shape(layer, rank);
  traits.scratch_bytes = shape.work_elems() * sizeof(double);
  const double terms = static_cast<double>(shape.rows + rank);
  const double rounding = 0x1p-23 * std::sqrt(static_cast<double>(rank)) * (terms + 4);
  traits.delta = -5 * rounding;
  traits.error_floor = 0x1p-139 * terms / lowrank::column_norm(shape.rows);
  return traits;
}

std::vector<size_t> PowersgdSketch::round_elems(Layer layer) const {
  const size_t rank = rank_of(layer);
  if (rank == 0) return {static_cast<size_t>(layer.elems())};
  const Shape shape(layer, rank);
  return {shape.p_elems, shape.q_elems()};
}

size_t PowersgdSketch::memory_elems(Layer layer) const {
  const Shape shape(layer, rank_of(layer));
  return shape.p_elems + shape.q_elems();
}

void PowersgdSketch::start(Layer layer, const Draw& shared, std::span<float> memory) const {
  const Shape shape(layer, rank_of(layer));
  if (shape.rank == 0) return;
  std::ranges::fill(shape.p(memory), 0.0f);
  std::vector<double> work(shape.q_elems());
  lowrank::draw_basis(shape.q(memory), shape.cols, work, first_draw(layer, shared));
}

void PowersgdSketch::produce(Layer layer, int round, const float* a, std::span<const float> memory, Context&, std::span<float> part) const {
  const Shape shape(layer, rank_of(layer));
  if (shape.rank == 0) {
    std::copy(a, a + part.size(), part.begin());
    return;
  }
  const Matrix m{a, shape.rows, shape.cols};
  if (round == 0) {
    lowrank::times(m, shape.q(memory).data(), shape.rank, part.data());
  } else {
    lowrank::transposed_times(m, shape.p(memory).data(), shape.rank, part.data());
  }
}

void PowersgdSketch::absorb(Layer layer, int round, std::span<const float> mean, std::span<float> memory, Context& context) const {
  const Shape shape(layer, rank_of(layer));
  if (shape.rank == 0) return;
  const std::span<double> work = doubles(context.scratch, shape.work_elems());
  if (round == 0) {
    std::ranges::copy(mean, shape.p(memory).begin());
    lowrank::orthogonalise(shape.p(memory), shape.rows, work);
    return;
  }
  // A direction without any gradient would stay 0 for ever: it is drawn anew, from draws that all ranks share.
  const Draw draw = next_draw(layer, context.shared);
  if (options_.warm_start) {
    std::ranges::copy(mean, shape.q(memory).begin());
    lowrank::orthogonalise(shape.q(memory), shape.cols, work, &draw);
  } else {
    lowrank::draw_basis(shape.q(memory), shape.cols, work, draw);
  }
}

void PowersgdSketch::decode_add(Layer layer, std::span<const float> last, std::span<const float> memory, float weight, float* out,
                                Context&) const {
  const Shape shape(layer, rank_of(layer));
  if (shape.rank == 0) {
    for (size_t i = 0; i < last.size(); ++i) out[i] += weight * last[i];
    return;
  }
  const float unscale = 1 / lowrank::column_norm(shape.rows);  // once for P here, once for the P that made `last`
  const lowrank::Product product{.p = shape.p(memory).data(), .q = last.data(), .rank = shape.rank, .p_scale = unscale, .scale = unscale};
  lowrank::add_product(product, weight, shape.rows, shape.cols, out);
}

}  // namespace thinwire::compressors
