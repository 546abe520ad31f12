// The formulas of schedules, element by element: what the host's loops and the kernels of a device both compute, to the same bit.
#pragma once

namespace thinwire::exchange {

// How the mean drift d moves an anchor. sgd: anchor -= lr d. nesterov: m = mu m + d; anchor -= lr (d + mu m).
struct OuterRule {
  float lr = 1, mu = 0;
};

constexpr float outer_sgd(float anchor, float mean, OuterRule rule) { return anchor - rule.lr * mean; }

constexpr float outer_nesterov(float anchor, float mean, float& momentum, OuterRule rule) {
  momentum = rule.mu * momentum + mean;
  const float update = mean + rule.mu * momentum;
  return anchor - rule.lr * update;
}

// What a rank did since it departed stays on top of the new anchor.
constexpr float follow(float parameter, float anchor, float departed) { return parameter + (anchor - departed); }

}  // namespace thinwire::exchange
