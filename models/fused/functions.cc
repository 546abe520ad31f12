#include "models/fused/functions.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <stdexcept>

#include "base/check.h"
#include "models/fused/composed.h"
#include "models/fused/device.h"
#include "models/fused/kernels.h"
#include "models/fused/plain.h"

namespace thinwire::models::fused {

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kGrainElems = 1 << 15;  // that are worth a thread

Shape shape_of(const at::Tensor& x) {
  const int64_t cols = x.size(-1);
  return {static_cast<size_t>(cols == 0 ? 0 : x.numel() / cols), static_cast<size_t>(cols)};
}

// work(first row, number of rows) on several threads. No bit may depend on how rows are divided.
template <class Work>
void for_rows(Shape shape, Work&& work) {
  const int64_t grain = std::max<int64_t>(1, kGrainElems / std::max<int64_t>(1, static_cast<int64_t>(shape.cols)));
  at::parallel_for(0, static_cast<int64_t>(shape.rows), grain,
                   [&](int64_t begin, int64_t end) { work(static_cast<size_t>(begin), static_cast<size_t>(end - begin)); });
}

// x, weight and maybe delta -> the stream and its norm.
class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& delta,
                               const at::Tensor& weight, double eps) {
    const Shape shape = shape_of(x);
    const auto h = delta ? at::empty_like(x) : x;
    const auto y = at::empty_like(x), scale = at::empty({static_cast<int64_t>(shape.rows)}, x.options());
    for_rows(shape, [&](size_t first, size_t rows) {
      const size_t at = first * shape.cols;
      rms_norm({rows, shape.cols}, {data(x) + at, delta ? data(*delta) + at : nullptr, data(weight), static_cast<float>(eps), data(h) + at,
                                    data(y) + at, data(scale) + first});
    });
    context->save_for_backward({h, weight, scale});
    context->set_materialize_grads(false);
    context->saved_data["has_delta"] = delta.has_value();
    return {h, y};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("rms_norm");
    const auto saved = context->get_saved_variables();
    const auto dh = gradients[0].defined() ? gradients[0].contiguous() : at::Tensor();
    auto dx = dh, dweight = at::Tensor();
    if (gradients[1].defined()) std::tie(dx, dweight) = gradients_of(gradients[1].contiguous(), dh, saved[0], saved[1], saved[2]);
    return {dx, context->saved_data["has_delta"].toBool() ? dx : at::Tensor(), dweight, at::Tensor()};
  }

 private:
  // Rows add to dweight in blocks of a fixed size, and then the blocks in order.
  static std::pair<at::Tensor, at::Tensor> gradients_of(const at::Tensor& dy, const at::Tensor& dh, const at::Tensor& h,
                                                        const at::Tensor& weight, const at::Tensor& scale) {
    constexpr size_t kBlockRows = 64;
    const Shape shape = shape_of(h);
    const size_t blocks = (shape.rows + kBlockRows - 1) / kBlockRows;
    const auto dx = at::empty_like(h), dweight = at::zeros_like(weight);
    const auto parts = at::zeros({static_cast<int64_t>(blocks), weight.numel()}, weight.options());
    for_rows({blocks, kBlockRows * shape.cols}, [&](size_t first, size_t count) {
      for (size_t block = first; block < first + count; ++block) {
        const size_t row = block * kBlockRows, at = row * shape.cols;
        rms_norm_backward({std::min(kBlockRows, shape.rows - row), shape.cols},
                          {data(dy) + at, dh.defined() ? data(dh) + at : nullptr, data(h) + at, data(weight), data(scale) + row,
                           data(dx) + at, data(parts) + block * shape.cols});
      }
    });
    for (size_t block = 0; block < blocks; ++block) {
      for (size_t c = 0; c < shape.cols; ++c) data(dweight)[c] += data(parts)[block * shape.cols + c];
    }
    return {dx, dweight};
  }
};

Stream norm_of(const at::Tensor& x, const std::optional<at::Tensor>& delta, const at::Tensor& weight, double eps) {
  const auto outputs = NormFunction::apply(plain(x), delta, plain(weight), eps);
  return {outputs[0], outputs[1]};
}

class SwigluFunction : public torch::autograd::Function<SwigluFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    const auto out = at::empty_like(gate);
    at::parallel_for(0, gate.numel(), kGrainElems, [&](int64_t begin, int64_t end) {
      swiglu(static_cast<size_t>(end - begin), data(gate) + begin, data(up) + begin, data(out) + begin);
    });
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("swiglu");
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], dout = gradients[0].contiguous();
    const auto dgate = at::empty_like(gate), dup = at::empty_like(up);
    at::parallel_for(0, gate.numel(), kGrainElems, [&](int64_t begin, int64_t end) {
      swiglu_backward(static_cast<size_t>(end - begin), data(dout) + begin, data(gate) + begin, data(up) + begin, data(dgate) + begin,
                      data(dup) + begin);
    });
    return {dgate, dup};
  }
};

class RotateFunction : public torch::autograd::Function<RotateFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return turned(x, cos, sin, Turn::forward);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("rotate");
    const auto saved = context->get_saved_variables();
    return {turned(gradients[0].contiguous(), saved[0], saved[1], Turn::back), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor turned(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, Turn direction) {
    const auto out = at::empty_like(x);
    const auto context = static_cast<size_t>(x.size(1)), heads = static_cast<size_t>(x.size(2)), width = static_cast<size_t>(x.size(3));
    for_rows({static_cast<size_t>(x.size(0)) * context, heads * width}, [&](size_t first, size_t tokens) {
      const size_t at = first * heads * width;
      rotate({tokens, heads, width / 2, first, context, data(cos), data(sin)}, direction, data(x) + at, data(out) + at);
    });
    return out;
  }
};

// The mean loss, and its gradient into `gradient` unless that is undefined.
at::Tensor mean_loss(const at::Tensor& scores, const at::Tensor& targets, const at::Tensor& gradient) {
  const Shape shape = shape_of(scores);
  const int64_t* target = targets.const_data_ptr<int64_t>();
  for (size_t row = 0; row < shape.rows; ++row) {
    if (target[row] >= 0 && target[row] < static_cast<int64_t>(shape.cols)) continue;
    throw std::out_of_range("cross_entropy: target " + std::to_string(target[row]) + " is none of " + std::to_string(shape.cols) +
                            " classes");
  }
  std::vector<double> losses(shape.rows);
  const float weight = 1.0f / static_cast<float>(shape.rows);
  for_rows(shape, [&](size_t first, size_t rows) {
    const size_t at = first * shape.cols;
    cross_entropy({rows, shape.cols}, data(scores) + at, target + first, weight, losses.data() + first,
                  gradient.defined() ? data(gradient) + at : nullptr);
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return at::full({}, sum / static_cast<double>(shape.rows), scores.options());
}

class CrossEntropyFunction : public torch::autograd::Function<CrossEntropyFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& scores, const at::Tensor& targets) {
    const auto gradient = at::empty_like(scores);
    context->save_for_backward({gradient});
    return mean_loss(scores, targets, gradient);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("cross_entropy");
    const auto gradient = context->get_saved_variables()[0];
    const float factor = gradients[0].item<float>();
    return {factor == 1 ? gradient : gradient * factor, at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) { return with_norm(x, weight, eps).normed; }

Stream with_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!x.is_cpu()) return device::with_norm(x, weight, eps);
  return norm_of(x, std::nullopt, weight, eps);
}

Stream sum_with_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  if (!x.is_cpu()) return device::sum_with_norm(x, delta, weight, eps);
  return norm_of(x, plain(delta), weight, eps);
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  if (!gate.is_cpu()) return device::swiglu(gate, up);
  return SwigluFunction::apply(plain(gate), plain(up));
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  check(x.dim() == 4 && x.size(3) % 2 == 0 && cos.size(0) >= x.size(1) && cos.size(1) == x.size(3), "the tables fit (B, T, H, d)");
  if (!x.is_cpu()) return device::rotate(x, cos, sin);
  return RotateFunction::apply(plain(x), plain(cos), plain(sin));
}

at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& targets) {
  check(scores.dim() == 2 && targets.dim() == 1 && scores.size(0) == targets.size(0), "there is one target per row of scores");
  if (!scores.is_cpu()) return composed::cross_entropy(scores, targets);
  const auto plain_scores = plain(scores), plain_targets = targets.contiguous();
  if (at::GradMode::is_enabled() && scores.requires_grad()) return CrossEntropyFunction::apply(plain_scores, plain_targets);
  return mean_loss(plain_scores, plain_targets, {});
}

}  // namespace thinwire::models::fused
