// An independent Llama: plain loops in double, written from the definition, without LibTorch. The oracle of llama_test.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace thinwire::models::reference {

using Weights = std::map<std::string, std::vector<double>>;  // by Hugging Face name, row-major

struct Shape {
  int64_t d, layers, heads, kv_heads, ffn, vocab;
  double theta, eps;
  bool tied;
};

// tokens (T) -> logits (T x vocab), one sequence.
std::vector<double> logits(const Shape& shape, const Weights& weights, const std::vector<int64_t>& tokens);

// Mean of -log softmax(logits)[target] over the sequence.
double loss(const Shape& shape, const Weights& weights, const std::vector<int64_t>& tokens, const std::vector<int64_t>& targets);

}  // namespace thinwire::models::reference
