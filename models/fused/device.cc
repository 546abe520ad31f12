#include "models/fused/device.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "base/cuda/module.h"
#include "models/fused/composed.h"
#include "models/fused/device_kernels.h"
#include "models/fused/plain.h"

namespace thinwire::models::fused::device {

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Null where the CUDA module is not there, or has not seen the device that LibTorch uses.
const DeviceKernels* kernels() {
  static const auto* found = cuda::is_available() ? static_cast<const DeviceKernels*>(cuda::part("models")) : nullptr;
  return found;
}

cuda::Stream stream_of(const at::Tensor& x) {
  const c10::impl::VirtualGuardImpl device(x.device().type());
  return device.getStreamNativeHandle(device.getStream(x.device()));
}

Element element_of(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 ? Element::bf16 : Element::f32; }
at::ScalarType dtype_of(Element element) { return element == Element::bf16 ? at::kBFloat16 : at::kFloat; }
const void* memory(const at::Tensor& x) { return x.const_data_ptr(); }
// As the kernels take it: gapless, and beginning where four elements may be read at once.
at::Tensor as(const at::Tensor& x, at::ScalarType dtype) {
  const auto gapless = x.to(dtype).contiguous();
  return reinterpret_cast<uintptr_t>(memory(gapless)) % 16 == 0 ? gapless : gapless.clone();
}
at::Tensor as_floats(const at::Tensor& x) { return as(x, at::kFloat); }
at::Tensor as_activation(const at::Tensor& x) { return as(x, dtype_of(element_of(x))); }  // bf16 stays, all else becomes fp32

// Norms are given in what autocast makes of products.
Element norm_element(const at::Tensor& x) {
  const auto device = x.device().type();
  const bool bf16 = at::autocast::is_autocast_enabled(device) && at::autocast::get_autocast_dtype(device) == at::kBFloat16;
  return bf16 ? Element::bf16 : Element::f32;
}

class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& delta,
                               const at::Tensor& weight, double eps, bool bf16) {
    const Element element = bf16 ? Element::bf16 : Element::f32;
    const int64_t cols = x.size(-1), rows = x.numel() / cols;
    const auto h = delta ? at::empty_like(x) : x;
    const auto y = at::empty_like(x, x.options().dtype(dtype_of(element))), scale = at::empty({rows}, x.options());
    kernels()->norm(element, static_cast<size_t>(rows), static_cast<size_t>(cols),
                    {data(x), delta ? memory(*delta) : nullptr, data(weight), data(h), y.data_ptr(), data(scale), static_cast<float>(eps)},
                    stream_of(x));
    context->save_for_backward({h, weight, scale});
    context->set_materialize_grads(false);
    context->saved_data["has_delta"] = delta.has_value();
    context->saved_data["bf16"] = bf16;
    return {h, y};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("rms_norm");
    const auto saved = context->get_saved_variables();
    const at::Tensor &h = saved[0], &weight = saved[1], &scale = saved[2];
    const Element element = context->saved_data["bf16"].toBool() ? Element::bf16 : Element::f32;
    const bool has_delta = context->saved_data["has_delta"].toBool();
    const auto dh = gradients[0].defined() ? as_floats(gradients[0]) : at::Tensor();
    if (!gradients[1].defined()) return {dh, has_delta ? dh.to(dtype_of(element)) : at::Tensor(), {}, {}, {}};
    const auto dy = as(gradients[1], dtype_of(element));
    const int64_t cols = h.size(-1), rows = h.numel() / cols;
    const auto dx = at::empty_like(h);
    const auto ddelta = !has_delta ? at::Tensor() : element == Element::f32 ? dx : at::empty_like(dy);
    const auto parts = at::empty({static_cast<int64_t>(kernels()->norm_parts(static_cast<size_t>(rows))), cols}, h.options());
    const bool writes_delta = has_delta && element == Element::bf16;
    kernels()->norm_backward(element, static_cast<size_t>(rows), static_cast<size_t>(cols),
                             {memory(dy), dh.defined() ? data(dh) : nullptr, data(h), data(weight), data(scale), data(dx),
                              writes_delta ? ddelta.data_ptr() : nullptr, data(parts)},
                             stream_of(h));
    return {dx, ddelta, parts.sum(0), {}, {}};
  }
};

class SwigluFunction : public torch::autograd::Function<SwigluFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    const auto out = at::empty_like(gate);
    kernels()->swiglu(element_of(gate), static_cast<size_t>(gate.numel()), memory(gate), memory(up), out.data_ptr(), stream_of(gate));
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("swiglu");
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], dout = as(gradients[0], gate.scalar_type());
    const auto dgate = at::empty_like(gate), dup = at::empty_like(up);
    kernels()->swiglu_backward(element_of(gate), static_cast<size_t>(gate.numel()), memory(dout), memory(gate), memory(up),
                               dgate.data_ptr(), dup.data_ptr(), stream_of(gate));
    return {dgate, dup};
  }
};

class RotateFunction : public torch::autograd::Function<RotateFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return turned(x, cos, sin, 1);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("rotate");
    const auto saved = context->get_saved_variables();
    return {turned(as_activation(gradients[0]), saved[0], saved[1], -1), {}, {}};
  }

 private:
  static at::Tensor turned(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float sign) {
    const auto out = at::empty_like(x);
    const auto size = [&](int64_t dim) { return static_cast<size_t>(x.size(dim)); };
    kernels()->rotate(element_of(x), size(0) * size(1), size(2), size(3) / 2, size(1), data(cos), data(sin), sign, memory(x),
                      out.data_ptr(), stream_of(x));
    return out;
  }
};

Stream norm_of(const at::Tensor& x, const std::optional<at::Tensor>& delta, const at::Tensor& weight, double eps) {
  const Element element = norm_element(x);
  const auto plain_delta = delta ? std::optional(as(*delta, dtype_of(element))) : std::nullopt;
  const auto outputs = NormFunction::apply(as_floats(x), plain_delta, as_floats(weight), eps, element == Element::bf16);
  return {outputs[0], outputs[1]};
}

}  // namespace

Stream with_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (kernels() == nullptr) return {x, composed::rms_norm(x, weight, eps)};
  return norm_of(x, std::nullopt, weight, eps);
}

Stream sum_with_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  if (kernels() == nullptr) return with_norm(x + delta, weight, eps);
  return norm_of(x, delta, weight, eps);
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  if (kernels() == nullptr) return composed::swiglu(gate, up);
  const auto plain_gate = as_activation(gate);
  return SwigluFunction::apply(plain_gate, as(up, plain_gate.scalar_type()));
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  if (kernels() == nullptr) return composed::rotate(x, cos, sin);
  return RotateFunction::apply(as_activation(x), as_floats(cos), as_floats(sin));
}

}  // namespace thinwire::models::fused::device
