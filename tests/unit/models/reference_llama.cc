#include "tests/unit/models/reference_llama.h"

#include <cmath>

namespace thinwire::models::reference {

namespace {
using Rows = std::vector<std::vector<double>>;

// y = W x for one vector, W (out, in) row-major.
std::vector<double> project(const std::vector<double>& w, const std::vector<double>& x) {
  std::vector<double> y(w.size() / x.size(), 0.0);
  for (size_t o = 0; o < y.size(); ++o) {
    for (size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
  }
  return y;
}

std::vector<double> rms_norm(const std::vector<double>& w, const std::vector<double>& x, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * w[i];
  return y;
}

// Element j of the first half turns with element j of the second half, by the angle position * theta^(-2j/d).
void rotate(double* head, int64_t head_dim, int64_t position, double theta) {
  const int64_t half = head_dim / 2;
  for (int64_t j = 0; j < half; ++j) {
    const double angle = static_cast<double>(position) * std::pow(theta, -2.0 * static_cast<double>(j) / static_cast<double>(head_dim));
    const double a = head[j], b = head[half + j];
    head[j] = a * std::cos(angle) - b * std::sin(angle);
    head[half + j] = b * std::cos(angle) + a * std::sin(angle);
  }
}

Rows attention(const Shape& s, const Weights& w, const std::string& at, const Rows& normed) {
  const int64_t head_dim = s.d / s.heads, share = s.heads / s.kv_heads;
  Rows q, k, v, out;
  for (size_t t = 0; t < normed.size(); ++t) {
    q.push_back(project(w.at(at + "q_proj.weight"), normed[t]));
    k.push_back(project(w.at(at + "k_proj.weight"), normed[t]));
    v.push_back(project(w.at(at + "v_proj.weight"), normed[t]));
    for (int64_t h = 0; h < s.heads; ++h) rotate(&q[t][static_cast<size_t>(h * head_dim)], head_dim, static_cast<int64_t>(t), s.theta);
    for (int64_t h = 0; h < s.kv_heads; ++h) rotate(&k[t][static_cast<size_t>(h * head_dim)], head_dim, static_cast<int64_t>(t), s.theta);
  }
  for (size_t t = 0; t < normed.size(); ++t) {
    std::vector<double> mixed(static_cast<size_t>(s.d), 0.0);
    for (int64_t h = 0; h < s.heads; ++h) {
      const double* query = &q[t][static_cast<size_t>(h * head_dim)];
      const auto kv_at = static_cast<size_t>(h / share * head_dim);
      std::vector<double> weight(t + 1);
      double total = 0;
      for (size_t past = 0; past <= t; ++past) {  // causal
        double dot = 0;
        for (int64_t i = 0; i < head_dim; ++i) dot += query[i] * k[past][kv_at + static_cast<size_t>(i)];
        total += weight[past] = std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
      }
      for (size_t past = 0; past <= t; ++past) {
        for (int64_t i = 0; i < head_dim; ++i)
          mixed[static_cast<size_t>(h * head_dim + i)] += weight[past] / total * v[past][kv_at + static_cast<size_t>(i)];
      }
    }
    out.push_back(project(w.at(at + "o_proj.weight"), mixed));
  }
  return out;
}

std::vector<double> feed_forward(const Weights& w, const std::string& at, const std::vector<double>& x) {
  auto gate = project(w.at(at + "gate_proj.weight"), x);
  const auto up = project(w.at(at + "up_proj.weight"), x);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
  return project(w.at(at + "down_proj.weight"), gate);
}

void add(std::vector<double>& to, const std::vector<double>& x) {
  for (size_t i = 0; i < x.size(); ++i) to[i] += x[i];
}
}  // namespace

std::vector<double> logits(const Shape& s, const Weights& w, const std::vector<int64_t>& tokens) {
  Rows x;
  for (const int64_t token : tokens) {
    const auto& table = w.at("model.embed_tokens.weight");
    x.emplace_back(table.begin() + token * s.d, table.begin() + (token + 1) * s.d);
  }
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    Rows normed;
    for (const auto& row : x) normed.push_back(rms_norm(w.at(at + "input_layernorm.weight"), row, s.eps));
    const Rows attended = attention(s, w, at + "self_attn.", normed);
    for (size_t t = 0; t < x.size(); ++t) {
      add(x[t], attended[t]);
      add(x[t], feed_forward(w, at + "mlp.", rms_norm(w.at(at + "post_attention_layernorm.weight"), x[t], s.eps)));
    }
  }
  std::vector<double> all;
  for (const auto& row : x) {
    const auto scores =
        project(w.at(s.tied ? "model.embed_tokens.weight" : "lm_head.weight"), rms_norm(w.at("model.norm.weight"), row, s.eps));
    all.insert(all.end(), scores.begin(), scores.end());
  }
  return all;
}

double loss(const Shape& s, const Weights& w, const std::vector<int64_t>& tokens, const std::vector<int64_t>& targets) {
  const auto scores = logits(s, w, tokens);
  double sum = 0;
  for (size_t t = 0; t < targets.size(); ++t) {
    double total = 0;
    for (int64_t v = 0; v < s.vocab; ++v) total += std::exp(scores[t * static_cast<size_t>(s.vocab) + static_cast<size_t>(v)]);
    sum += std::log(total) - scores[t * static_cast<size_t>(s.vocab) + static_cast<size_t>(targets[t])];
  }
  return sum / static_cast<double>(targets.size());
}

}  // namespace thinwire::models::reference
