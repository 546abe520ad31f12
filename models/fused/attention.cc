#include "models/fused/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "base/check.h"
#include "models/fused/attention_kernels.h"
#include "models/fused/composed.h"
#include "models/fused/plain.h"

namespace thinwire::models::fused {

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows of one head of x (B, T, H, d).
Rows<float> rows_of(const at::Tensor& x, int64_t batch, int64_t head) {
  return {data(x) + (batch * x.size(1) * x.size(2) + head) * x.size(3), static_cast<size_t>(x.size(2) * x.size(3))};
}
Rows<const float> read(Rows<float> rows) { return {rows.at, rows.stride}; }

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    const auto out = at::empty_like(q), log_totals = at::empty({q.size(0), q.size(2), q.size(1)}, q.options());
    const int64_t heads = q.size(2);
    at::parallel_for(0, q.size(0) * heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        attend(head_of(q, k, v, i / heads, i % heads), rows_of(out, i / heads, i % heads), data(log_totals) + i * q.size(1));
      }
    });
    context->save_for_backward({q, k, v, out, log_totals});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_derivative("causal_attention");
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &log_totals = saved[4];
    const auto dout = gradients[0].contiguous(), dq = at::empty_like(q), dk = at::zeros_like(k), dv = at::zeros_like(v);
    const int64_t heads = q.size(2), key_heads = k.size(2), share = heads / key_heads;
    at::parallel_for(0, q.size(0) * key_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t batch = i / key_heads, key_head = i % key_heads;
        for (int64_t head = key_head * share; head < (key_head + 1) * share; ++head) {
          attend_backward(head_of(q, k, v, batch, head), {read(rows_of(out, batch, head)), read(rows_of(dout, batch, head)),
                                                          data(log_totals) + (batch * heads + head) * q.size(1), rows_of(dq, batch, head),
                                                          rows_of(dk, batch, key_head), rows_of(dv, batch, key_head)});
        }
      }
    });
    return {dq, dk, dv};
  }

 private:
  static Head head_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t batch, int64_t head) {
    const int64_t key_head = head / (q.size(2) / k.size(2));
    return {static_cast<size_t>(q.size(1)), static_cast<size_t>(q.size(3)),    1.0f / std::sqrt(static_cast<float>(q.size(3))),
            read(rows_of(q, batch, head)),  read(rows_of(k, batch, key_head)), read(rows_of(v, batch, key_head))};
  }
};
}  // namespace

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  check(q.dim() == 4 && k.sizes() == v.sizes() && k.size(0) == q.size(0) && k.size(1) == q.size(1) && k.size(3) == q.size(3) &&
            q.size(2) % k.size(2) == 0,
        "q (B, T, H, d) and k, v (B, T, K, d) belong together, and K divides H");
  if (!q.is_cpu()) return composed::causal_attention(q, k, v);
  return AttentionFunction::apply(plain(q), plain(k), plain(v));
}

}  // namespace thinwire::models::fused
