// Ten workers with ten different quadratics and a top-k that sends one number in twenty: small enough for 20,000 steps in a second, hard
// enough to tell the policies of error feedback apart (docs/methods/error_feedback.md has the table).
//
//   f_w(x) = 1/2 sum over j of a_wj (x_j - b_wj)^2,  a uniform in [0.1, 1), b normal of deviation 3;  gradients with normal noise of
//   deviation sigma
//
// All is a function of kSeed. The policies and the codec are the real ones, called as a bucket's round calls them, without ranks.
#pragma once
#include <optional>
#include <vector>

#include "exchange/feedback/feedback.h"

namespace thinwire::exchange::testing {

class Quadratic {
 public:
  static constexpr size_t kWorkers = 10, kElems = 200, kKept = 10;
  static constexpr double kDelta = static_cast<double>(kKept) / kElems;  // of the top-k
  static constexpr uint64_t kSeed = 1;

  Quadratic();

  struct Setting {
    double gamma, sigma;
    uint64_t steps;
  };
  // The square distance to the optimum, averaged over the last tenth of the steps; infinite when it diverges. Without a policy: plain SGD.
  double distance(const std::optional<FeedbackOptions>& policy, const Setting& setting) const;

 private:
  using Row = std::vector<float>;
  void gradient(size_t worker, const std::vector<double>& x, const Setting& setting, uint64_t step, Row& g) const;

  std::vector<Row> curvature_, centre_;  // a and b, by worker
  std::vector<double> optimum_;
  Row noise_;  // normal numbers of mean 0: a gradient's begin at a place of its own, and wrap
};

}  // namespace thinwire::exchange::testing
