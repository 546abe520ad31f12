#include "models/fused/reference.h"

#include <bit>
#include <cmath>
#include <vector>

namespace thinwire::models::fused {

float sum_of_lanes(float* lanes) {
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

namespace reference {

namespace {
template <class Term>
float lane_sum(size_t cols, Term&& term) {
  float lanes[kLanes] = {};
  for (size_t c = 0; c < cols; ++c) lanes[c % kLanes] += term(c);
  return sum_of_lanes(lanes);
}

float sigmoid(float x) {
  const float e = exp_of_nonpositive(-std::abs(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
}  // namespace

float exp_of_nonpositive(float x) {
  // x = n ln 2 + r. Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits. ln 2 in two parts, the first short enough for
  // n times it to be exact. The series of e^r to the seventh power is off by less than 6e-9 for |r| <= ln 2 / 2.
  constexpr float kLog2E = 1.44269504f, kRound = 12582912.0f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kSeries[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  if (x < -87.33f) return 0;
  const float shifted = x * kLog2E + kRound, n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float sum = kSeries[0];
  for (size_t i = 1; i < std::size(kSeries); ++i) sum = sum * r + kSeries[i];
  return sum * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u);
}

void rms_norm(Shape shape, const Norm& norm) {
  for (size_t row = 0; row < shape.rows; ++row) {
    const size_t at = row * shape.cols;
    const float* h = norm.x + at;
    if (norm.delta != nullptr) {
      for (size_t c = 0; c < shape.cols; ++c) norm.h[at + c] = norm.x[at + c] + norm.delta[at + c];
      h = norm.h + at;
    }
    const float squares = lane_sum(shape.cols, [&](size_t c) { return h[c] * h[c]; });
    const float scale = norm.scale[row] = 1.0f / std::sqrt(squares / static_cast<float>(shape.cols) + norm.eps);
    for (size_t c = 0; c < shape.cols; ++c) norm.y[at + c] = h[c] * scale * norm.weight[c];
  }
}

void rms_norm_backward(Shape shape, const NormBackward& norm) {
  for (size_t row = 0; row < shape.rows; ++row) {
    const size_t at = row * shape.cols;
    const float *dy = norm.dy + at, *h = norm.h + at;
    const float scale = norm.scale[row];
    const float dot = lane_sum(shape.cols, [&](size_t c) { return dy[c] * norm.weight[c] * h[c]; });
    const float pull = scale * scale * (dot / static_cast<float>(shape.cols));
    for (size_t c = 0; c < shape.cols; ++c) {
      const float dx = scale * (dy[c] * norm.weight[c] - h[c] * pull);
      norm.dweight[c] += dy[c] * (h[c] * scale);
      norm.dx[at + c] = norm.dh == nullptr ? dx : dx + norm.dh[at + c];
    }
  }
}

void swiglu(size_t count, const float* gate, const float* up, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

void swiglu_backward(size_t count, const float* dout, const float* gate, const float* up, float* dgate, float* dup) {
  for (size_t i = 0; i < count; ++i) {
    const float s = sigmoid(gate[i]), silu = gate[i] * s, d = dout[i];
    dgate[i] = d * up[i] * (s + silu * (1.0f - s));
    dup[i] = d * silu;
  }
}

void rotate(const Rotation& r, Turn direction, const float* x, float* out) {
  for (size_t token = 0; token < r.tokens; ++token) {
    const size_t angles = (r.first + token) % r.context * 2 * r.half;
    for (size_t head = 0; head < r.heads; ++head) {
      const size_t at = (token * r.heads + head) * 2 * r.half;
      for (size_t i = 0; i < r.half; ++i) {
        const float a = x[at + i], b = x[at + r.half + i], c = r.cos[angles + i];
        const float s = direction == Turn::forward ? r.sin[angles + i] : -r.sin[angles + i];
        out[at + i] = a * c - b * s;
        out[at + r.half + i] = b * c + a * s;
      }
    }
  }
}

void cross_entropy(Shape shape, const float* scores, const int64_t* targets, float weight, double* loss, float* gradient) {
  std::vector<float> e(shape.cols);
  for (size_t row = 0; row < shape.rows; ++row) {
    const float* x = scores + row * shape.cols;
    const auto target = static_cast<size_t>(targets[row]);
    float largest = x[0];
    for (size_t c = 1; c < shape.cols; ++c) largest = x[c] > largest ? x[c] : largest;
    const float total = lane_sum(shape.cols, [&](size_t c) { return e[c] = exp_of_nonpositive(x[c] - largest); });
    loss[row] = std::log(static_cast<double>(total)) + static_cast<double>(largest) - static_cast<double>(x[target]);
    if (gradient == nullptr) continue;
    const float share = weight / total;
    float* g = gradient + row * shape.cols;
    for (size_t c = 0; c < shape.cols; ++c) g[c] = e[c] * share;
    g[target] -= weight;
  }
}

}  // namespace reference
}  // namespace thinwire::models::fused
