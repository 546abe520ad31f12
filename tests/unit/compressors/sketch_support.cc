#include "sketch_support.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace thinwire::compressors::testing {

SketchRanks::SketchRanks(std::shared_ptr<const Sketch> sketch, Layer layer, size_t ranks, uint64_t seed)
    : sketch_(std::move(sketch)), layer_(layer), shared_(seed), scratch_(sketch_->traits(layer).scratch_bytes) {
  for (size_t rank = 0; rank < ranks; ++rank) {
    memories_.emplace_back(sketch_->memory_elems(layer), -77.0f - static_cast<float>(rank));  // start() must leave nothing of it
    sketch_->start(layer, shared_, memories_.back());
  }
}

std::vector<float> SketchRanks::decode(size_t rank, const std::vector<float>& last) {
  std::vector<float> out(static_cast<size_t>(layer_.elems()), 0.0f);
  sketch_->decode_add(layer_, last, memories_[rank], 1, out.data(), scratch_.context);
  return out;
}

Exchanged SketchRanks::exchange(const std::vector<std::vector<float>>& a) {
  scratch_.context.shared = shared_.fork(exchanges_++);
  const std::vector<size_t> rounds = sketch_->round_elems(layer_);
  std::vector<std::vector<float>> parts(a.size());
  std::vector<float> mean;
  for (size_t round = 0; round < rounds.size(); ++round) {
    mean.assign(rounds[round], 0.0f);
    for (size_t rank = 0; rank < a.size(); ++rank) {
      parts[rank].assign(rounds[round], -77.0f);
      sketch_->produce(layer_, static_cast<int>(round), a[rank].data(), memories_[rank], scratch_.context, parts[rank]);
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += parts[rank][i] * (1 / static_cast<float>(a.size()));
    }
    for (auto& memory : memories_) sketch_->absorb(layer_, static_cast<int>(round), mean, memory, scratch_.context);
  }
  Exchanged result{.own = {}, .all = decode(0, mean)};
  for (size_t rank = 0; rank < a.size(); ++rank) result.own.push_back(decode(rank, parts[rank]));
  return result;
}

std::vector<double> singular_values(Layer layer, const std::vector<float>& values) {
  // Fewer columns than rows are fewer pairs: the transposed matrix has the same singular values.
  const bool wide = layer.cols > layer.rows;
  const size_t cols = static_cast<size_t>(std::min(layer.rows, layer.cols)), rows = static_cast<size_t>(std::max(layer.rows, layer.cols));
  std::vector<std::vector<double>> columns(cols, std::vector<double>(rows));
  for (size_t c = 0; c < cols; ++c) {
    for (size_t i = 0; i < rows; ++i) columns[c][i] = wide ? values[c * rows + i] : values[i * cols + c];
  }
  const auto inner = [](const std::vector<double>& x, const std::vector<double>& y) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
    return sum;
  };
  for (int sweep = 0; sweep < 15; ++sweep) {
    for (size_t p = 0; p < cols; ++p) {
      for (size_t q = p + 1; q < cols; ++q) {
        const double xx = inner(columns[p], columns[p]), yy = inner(columns[q], columns[q]), xy = inner(columns[p], columns[q]);
        if (std::fabs(xy) <= 1e-15 * std::sqrt(xx * yy)) continue;
        const double angle = 0.5 * std::atan2(2 * xy, xx - yy), c = std::cos(angle), s = std::sin(angle);
        for (size_t i = 0; i < rows; ++i) {
          const double x = columns[p][i], y = columns[q][i];
          columns[p][i] = c * x + s * y;
          columns[q][i] = c * y - s * x;
        }
      }
    }
  }
  std::vector<double> singular;
  for (const auto& column : columns) singular.push_back(std::sqrt(inner(column, column)));
  std::ranges::sort(singular, std::greater<>());
  return singular;
}

double squares_from(const std::vector<double>& singular, size_t rank) {
  double sum = 0;
  for (size_t i = rank; i < singular.size(); ++i) sum += singular[i] * singular[i];
  return sum;
}

std::vector<float> low_rank_values(Layer layer, size_t rank, double decay, uint64_t seed) {
  const Draw draw(seed);
  std::vector<double> sum(static_cast<size_t>(layer.elems()));
  for (size_t r = 0; r < rank; ++r) {
    const std::vector<float> u = normal_values(static_cast<size_t>(layer.rows), draw.fork(2 * r).bits(0));
    const std::vector<float> v = normal_values(static_cast<size_t>(layer.cols), draw.fork(2 * r + 1).bits(0));
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += std::pow(decay, static_cast<double>(r)) * u[i / v.size()] * v[i % v.size()];
  }
  return {sum.begin(), sum.end()};
}

double squared_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return sum;
}

}  // namespace thinwire::compressors::testing
