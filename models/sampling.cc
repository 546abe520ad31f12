#include "models/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/error.h"

namespace thinwire::models {

namespace {

void require_scores(std::span<const float> logits) {
  for (size_t token = 0; token < logits.size(); ++token) {
    if (!std::isnan(logits[token]) && !(std::isinf(logits[token]) && logits[token] > 0)) continue;
    throw NonFiniteError("the model's score of token " + std::to_string(token) + " is " + std::to_string(logits[token]) +
                         ": its weights are damaged, or its training diverged");
  }
}

// The likeliest first: all of them, or the first k.
std::vector<int64_t> by_likelihood(std::span<const float> logits, int64_t k) {
  std::vector<int64_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto likelier = [&](int64_t a, int64_t b) {
    const float of_a = logits[static_cast<size_t>(a)], of_b = logits[static_cast<size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  };
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t kept = k > 0 ? std::min(k, count) : count;
  std::partial_sort(tokens.begin(), tokens.begin() + kept, tokens.end(), likelier);
  tokens.resize(static_cast<size_t>(kept));
  return tokens;
}

// How many of these probabilities, which fall, reach `share` of their sum.
size_t nucleus(const std::vector<double>& weights, double share) {
  const double wanted = share * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (sum >= wanted) return i + 1;
  }
  return weights.size();
}

}  // namespace

int64_t draw_token(std::span<const float> logits, const SamplingOptions& options, double uniform) {
  check(!logits.empty() && options.temperature >= 0 && options.top_k >= 0 && options.top_p > 0, "options of sampling are in their ranges");
  require_scores(logits);
  if (options.temperature == 0) return std::max_element(logits.begin(), logits.end()) - logits.begin();
  const std::vector<int64_t> tokens = by_likelihood(logits, options.top_k);
  const double best = logits[static_cast<size_t>(tokens.front())];
  if (std::isinf(best)) return tokens.front();  // every score is minus infinity
  std::vector<double> weights;
  for (const int64_t token : tokens) weights.push_back(std::exp((logits[static_cast<size_t>(token)] - best) / options.temperature));
  if (options.top_p < 1) weights.resize(nucleus(weights, options.top_p));
  double left = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  size_t pick = 0;
  while (pick + 1 < weights.size() && left >= weights[pick]) left -= weights[pick++];
  return tokens[pick];
}

}  // namespace thinwire::models
