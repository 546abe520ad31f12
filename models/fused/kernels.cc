#include "models/fused/kernels.h"

#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/fused/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "models/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace thinwire::models::fused::HWY_NAMESPACE {

HWY_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp_of_nonpositive(hn::Neg(hn::Abs(x))), one = hn::Set(Floats(), 1.0f);
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(Floats())), e, one), hn::Add(one, e));
}

void add(size_t count, const float* x, const float* y, float* sum) {
  const Floats d;
  const size_t whole = whole_vectors(count);
  for (size_t c = 0; c < whole; c += kWidth) hn::StoreU(hn::Add(hn::LoadU(d, x + c), hn::LoadU(d, y + c)), d, sum + c);
  for (size_t c = whole; c < count; ++c) sum[c] = x[c] + y[c];
}

void RmsNorm(Shape shape, const Norm& norm) {
  const Floats d;
  const size_t whole = whole_vectors(shape.cols);
  for (size_t row = 0; row < shape.rows; ++row) {
    const size_t at = row * shape.cols;
    if (norm.delta != nullptr) add(shape.cols, norm.x + at, norm.delta + at, norm.h + at);
    const float* h = (norm.delta == nullptr ? norm.x : norm.h) + at;
    float* y = norm.y + at;
    const auto square = [&](size_t c) {
      const Vec value = hn::LoadU(d, h + c);
      return hn::Mul(value, value);
    };
    const float squares = lane_sum(shape.cols, square, [&](size_t c) { return h[c] * h[c]; });
    const float scale = norm.scale[row] = 1.0f / std::sqrt(squares / static_cast<float>(shape.cols) + norm.eps);
    const Vec scales = hn::Set(d, scale);
    for (size_t c = 0; c < whole; c += kWidth)
      hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, h + c), scales), hn::LoadU(d, norm.weight + c)), d, y + c);
    for (size_t c = whole; c < shape.cols; ++c) y[c] = h[c] * scale * norm.weight[c];
  }
}

// One row of rms_norm_backward.
template <bool kHasDh>
void norm_row_backward(size_t cols, const NormBackward& norm, const float* dy, const float* dh, const float* h, float scale, float* dx) {
  const Floats d;
  const auto gradient = [&](size_t c) { return hn::Mul(hn::LoadU(d, dy + c), hn::LoadU(d, norm.weight + c)); };
  const float dot = lane_sum(
      cols, [&](size_t c) { return hn::Mul(gradient(c), hn::LoadU(d, h + c)); }, [&](size_t c) { return dy[c] * norm.weight[c] * h[c]; });
  const float pull = scale * scale * (dot / static_cast<float>(cols));
  const Vec scales = hn::Set(d, scale), pulls = hn::Set(d, pull);
  const size_t whole = whole_vectors(cols);
  for (size_t c = 0; c < whole; c += kWidth) {
    const Vec value = hn::LoadU(d, h + c);
    const Vec own = hn::Mul(scales, hn::Sub(gradient(c), hn::Mul(value, pulls)));
    hn::StoreU(hn::Add(hn::LoadU(d, norm.dweight + c), hn::Mul(hn::LoadU(d, dy + c), hn::Mul(value, scales))), d, norm.dweight + c);
    hn::StoreU(kHasDh ? hn::Add(own, hn::LoadU(d, dh + c)) : own, d, dx + c);
  }
  for (size_t c = whole; c < cols; ++c) {
    const float own = scale * (dy[c] * norm.weight[c] - h[c] * pull);
    norm.dweight[c] += dy[c] * (h[c] * scale);
    dx[c] = kHasDh ? own + dh[c] : own;
  }
}

void RmsNormBackward(Shape shape, const NormBackward& norm) {
  for (size_t row = 0; row < shape.rows; ++row) {
    const size_t at = row * shape.cols;
    if (norm.dh == nullptr) {
      norm_row_backward<false>(shape.cols, norm, norm.dy + at, norm.dy, norm.h + at, norm.scale[row], norm.dx + at);
    } else {
      norm_row_backward<true>(shape.cols, norm, norm.dy + at, norm.dh + at, norm.h + at, norm.scale[row], norm.dx + at);
    }
  }
}

void Swiglu(size_t count, const float* gate, const float* up, float* out) {
  const Floats d;
  const size_t whole = whole_vectors(count);
  for (size_t i = 0; i < whole; i += kWidth) {
    const Vec g = hn::LoadU(d, gate + i);
    hn::StoreU(hn::Mul(hn::Mul(g, sigmoid(g)), hn::LoadU(d, up + i)), d, out + i);
  }
  reference::swiglu(count - whole, gate + whole, up + whole, out + whole);
}

void SwigluBackward(size_t count, const float* dout, const float* gate, const float* up, float* dgate, float* dup) {
  const Floats d;
  const Vec one = hn::Set(d, 1.0f);
  const size_t whole = whole_vectors(count);
  for (size_t i = 0; i < whole; i += kWidth) {
    const Vec g = hn::LoadU(d, gate + i), s = sigmoid(g), silu = hn::Mul(g, s), out = hn::LoadU(d, dout + i);
    const Vec slope = hn::Add(s, hn::Mul(silu, hn::Sub(one, s)));
    hn::StoreU(hn::Mul(hn::Mul(out, hn::LoadU(d, up + i)), slope), d, dgate + i);
    hn::StoreU(hn::Mul(out, silu), d, dup + i);
  }
  reference::swiglu_backward(count - whole, dout + whole, gate + whole, up + whole, dgate + whole, dup + whole);
}

void Rotate(const Rotation& r, Turn direction, const float* x, float* out) {
  const Floats d;
  const size_t whole = whole_vectors(r.half);
  for (size_t token = 0; token < r.tokens; ++token) {
    const size_t angles = (r.first + token) % r.context * 2 * r.half;
    const float *cos = r.cos + angles, *sin = r.sin + angles;
    for (size_t head = 0; head < r.heads; ++head) {
      const size_t first = (token * r.heads + head) * 2 * r.half, second = first + r.half;
      for (size_t i = 0; i < whole; i += kWidth) {
        const Vec a = hn::LoadU(d, x + first + i), b = hn::LoadU(d, x + second + i), c = hn::LoadU(d, cos + i);
        const Vec angle = hn::LoadU(d, sin + i), s = direction == Turn::forward ? angle : hn::Neg(angle);
        hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, out + first + i);
        hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, out + second + i);
      }
      for (size_t i = whole; i < r.half; ++i) {
        const float a = x[first + i], b = x[second + i], s = direction == Turn::forward ? sin[i] : -sin[i];
        out[first + i] = a * cos[i] - b * s;
        out[second + i] = b * cos[i] + a * s;
      }
    }
  }
}

void CrossEntropy(Shape shape, const float* scores, const int64_t* targets, float weight, double* loss, float* gradient) {
  const Floats d;
  std::vector<float> own(gradient == nullptr ? shape.cols : 0);
  const size_t whole = whole_vectors(shape.cols);
  for (size_t row = 0; row < shape.rows; ++row) {
    const float* x = scores + row * shape.cols;
    float* e = gradient == nullptr ? own.data() : gradient + row * shape.cols;
    const auto target = static_cast<size_t>(targets[row]);
    const float largest = largest_of(shape.cols, x), of_target = x[target];
    const Vec most = hn::Set(d, largest);
    const auto vector_at = [&](size_t c) {
      const Vec power = exp_of_nonpositive(hn::Sub(hn::LoadU(d, x + c), most));
      hn::StoreU(power, d, e + c);
      return power;
    };
    const float total = lane_sum(shape.cols, vector_at, [&](size_t c) { return e[c] = reference::exp_of_nonpositive(x[c] - largest); });
    loss[row] = std::log(static_cast<double>(total)) + static_cast<double>(largest) - static_cast<double>(of_target);
    if (gradient == nullptr) continue;
    const float share = weight / total;
    const Vec shares = hn::Set(d, share);
    for (size_t c = 0; c < whole; c += kWidth) hn::StoreU(hn::Mul(hn::LoadU(d, e + c), shares), d, e + c);
    for (size_t c = whole; c < shape.cols; ++c) e[c] *= share;
    e[target] -= weight;
  }
}

}  // namespace thinwire::models::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::models::fused {

HWY_EXPORT(RmsNorm);
HWY_EXPORT(RmsNormBackward);
HWY_EXPORT(Swiglu);
HWY_EXPORT(SwigluBackward);
HWY_EXPORT(Rotate);
HWY_EXPORT(CrossEntropy);

void rms_norm(Shape shape, const Norm& norm) { HWY_DYNAMIC_DISPATCH(RmsNorm)(shape, norm); }
void rms_norm_backward(Shape shape, const NormBackward& norm) { HWY_DYNAMIC_DISPATCH(RmsNormBackward)(shape, norm); }
void swiglu(size_t count, const float* gate, const float* up, float* out) { HWY_DYNAMIC_DISPATCH(Swiglu)(count, gate, up, out); }
void swiglu_backward(size_t count, const float* dout, const float* gate, const float* up, float* dgate, float* dup) {
  HWY_DYNAMIC_DISPATCH(SwigluBackward)(count, dout, gate, up, dgate, dup);
}
void rotate(const Rotation& rotation, Turn direction, const float* x, float* out) {
  HWY_DYNAMIC_DISPATCH(Rotate)(rotation, direction, x, out);
}
void cross_entropy(Shape shape, const float* scores, const int64_t* targets, float weight, double* loss, float* gradient) {
  HWY_DYNAMIC_DISPATCH(CrossEntropy)(shape, scores, targets, weight, loss, gradient);
}

}  // namespace thinwire::models::fused
#endif
