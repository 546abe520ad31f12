// The books of one rank: what a policy of error feedback promises to conserve, and by how much fp32 rounding may miss it.
//
//   ef14, and whatever loses nothing    N * sum of results + sum over ranks of residuals + N * owed  =  sum of inputs, less what decay
//   forgot ef21, ef21_sgdm, econtrol           H + owed  =  mean over ranks of h econtrol                            e_T = e_0 + sum of
//   (g_t - h_(t+1)), on every rank
//
// `owed`: what the owners of slices hold back. Each rank books its share of `in` and `out`; the sums over ranks are compared. Bounds count
// roundings, u = 2^-24 times the magnitude of what is rounded; D, what a rank's message decodes to, is at most what went in plus what is
// left.
#pragma once
#include "tests/unit/exchange/policies.h"

namespace thinwire::exchange::testing {

class Account {
 public:
  Account(Exchange& exchange, const FeedbackOptions& options);
  void round(const RoundInfo& info, const SlotValues& inputs);  // runs it and books it
  void rebuild(SlotTable table);
  void close();  // books what is left

  Sums in, out, bound;
  // econtrol: the identity of e, element by element.
  Sums integral, integral_bound;
  const StateSnapshot& state() const { return now_; }

 private:
  void book_residuals(const Sums& fresh, const Sums& results, const StateSnapshot& before, bool dense);
  void book_estimates(const StateSnapshot& before, bool dense);
  void book_integral(const Sums& fresh, const StateSnapshot& before, bool dense);
  Sums magnitudes(const Sums& of_element) const;

  Exchange& exchange_;
  FeedbackOptions options_;
  bool estimates_, first_;
  double ranks_;
  StateSnapshot now_;
};

// Over all ranks, and what each compared on its own.
void expect_balanced(const std::vector<Account>& accounts);

}  // namespace thinwire::exchange::testing
