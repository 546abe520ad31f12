#include "tests/unit/exchange/account.h"

#include <cmath>

namespace thinwire::exchange::testing {

namespace {
constexpr double kUnit = 0x1p-24, kTiny = 0x1p-140;  // of a rounding; of those that underflow, all together

bool sketched(const SlotSpec& slot) { return slot.combine() == compressors::Combine::sketch; }
}  // namespace

Account::Account(Exchange& exchange, const FeedbackOptions& options)
    : exchange_(exchange),
      options_(options),
      estimates_(options.name != "ef14" && options.name != "none" && !exchange.state().empty()),
      first_(exchange.driver().rank() == 0),
      ranks_(exchange.driver().size()),
      now_(exchange) {
  for (Sums* sums : {&in, &out, &bound, &integral_bound}) sums->assign(exchange.table().total_elems(), 0.0);
  integral = now_.residual;
}

// A sketch's element is a sum over others of its slot: none is larger than their root of the sum of squares, where one factor is
// orthonormal.
Sums Account::magnitudes(const Sums& of_element) const {
  Sums all = of_element;
  size_t begin = 0;
  for (const SlotSpec& slot : exchange_.table().slots()) {
    double squares = 0;
    for (size_t i = begin; i < begin + slot.elems(); ++i) squares += of_element[i] * of_element[i];
    // Both decodings of a sketch: few terms an element, at most 8 roundings each.
    for (size_t i = begin; i < begin + slot.elems() && sketched(slot); ++i) all[i] = 3 * std::sqrt(squares);
    begin += slot.elems();
  }
  return all;
}

void Account::round(const RoundInfo& info, const SlotValues& inputs) {
  const StateSnapshot before = now_;
  run_round(exchange_, info, inputs);
  now_ = StateSnapshot(exchange_);
  Sums fresh = by_slot(exchange_.table(), inputs);
  for (double& x : fresh) x = info.scale * static_cast<float>(x);
  if (estimates_) {
    book_estimates(before, info.dense);
    if (options_.name == "econtrol") book_integral(fresh, before, info.dense);
  } else {
    book_residuals(fresh, results_by_slot(exchange_), before, info.dense);
  }
}

// Roundings of an element: a, with its decay, 2; e' 1; the sum over ranks N; the owner's weight, product, decay and sum 4; owed' 1.
void Account::book_residuals(const Sums& fresh, const Sums& results, const StateSnapshot& before, bool dense) {
  const double forgets = dense ? 0 : 1 - static_cast<float>(options_.decay);
  Sums touched(fresh.size());
  for (size_t i = 0; i < fresh.size(); ++i) {
    in[i] += fresh[i] - forgets * (before.residual[i] + ranks_ * before.owed[i]);
    if (first_) out[i] += ranks_ * results[i];
    touched[i] = std::fabs(fresh[i]) + std::fabs(before.residual[i]) + std::fabs(now_.residual[i]) + now_.scale[i] +
                 ranks_ * (std::fabs(before.owed[i]) + std::fabs(now_.owed[i]));
  }
  touched = magnitudes(touched);
  for (size_t i = 0; i < fresh.size(); ++i)
    bound[i] += (ranks_ + 8) * kUnit * touched[i] + (dense ? 0 : 1 + 0x1p-20) * now_.scale[i] + kTiny;
}

// Roundings: h' and H' 1 each; the sum over ranks N; the owner's weight, product and sum 3; owed' 1. |D| <= |h| + |h'|, up to the first.
void Account::book_estimates(const StateSnapshot& before, bool dense) {
  Sums touched(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    touched[i] = std::fabs(now_.estimate[i]) / ranks_ + (first_ ? std::fabs(now_.mean[i]) : 0);
    if (!dense) touched[i] += std::fabs(before.estimate[i]) / ranks_ + std::fabs(before.owed[i]) + std::fabs(now_.owed[i]);
  }
  touched = magnitudes(touched);
  for (size_t i = 0; i < in.size(); ++i) {
    if (dense) bound[i] = 0;
    bound[i] += (ranks_ + 7) * kUnit * touched[i] + kTiny;
  }
}

// Roundings: g - h, e + (g - h), e' and h'.
void Account::book_integral(const Sums& fresh, const StateSnapshot& before, bool dense) {
  for (size_t i = 0; i < fresh.size(); ++i) {
    integral[i] += fresh[i] - now_.estimate[i];
    if (dense) continue;
    integral_bound[i] += 2 * kUnit *
                             (std::fabs(fresh[i]) + std::fabs(before.estimate[i]) + std::fabs(now_.estimate[i]) +
                              std::fabs(before.residual[i]) + std::fabs(now_.residual[i])) +
                         kTiny;
  }
}

// What was owed went into this rank's own feedback: a product and a sum.
void Account::rebuild(SlotTable table) {
  const StateSnapshot before = now_;
  exchange_.rebuild(std::move(table));
  now_ = StateSnapshot(exchange_);
  for (size_t i = 0; i < in.size(); ++i) {
    const double touched = estimates_ ? std::fabs(now_.estimate[i]) / ranks_ : std::fabs(now_.residual[i]) + now_.scale[i];
    bound[i] += kUnit * (touched + ranks_ * std::fabs(before.owed[i])) + (1 + 0x1p-20) * now_.scale[i] + kTiny;
  }
}

void Account::close() {
  for (size_t i = 0; i < in.size(); ++i) {
    if (estimates_) {
      in[i] = now_.estimate[i] / ranks_;
      out[i] = (first_ ? now_.mean[i] : 0) + now_.owed[i];
    } else {
      out[i] += now_.residual[i] + ranks_ * now_.owed[i];
    }
    if (options_.name != "econtrol" || !estimates_) continue;
    EXPECT_NEAR(now_.residual[i], integral[i], integral_bound[i]) << "element " << i;
  }
}

void expect_balanced(const std::vector<Account>& accounts) {
  for (size_t i = 0; i < accounts[0].in.size(); ++i) {
    double in = 0, out = 0, bound = 0;
    for (const Account& of_rank : accounts) in += of_rank.in[i], out += of_rank.out[i], bound += of_rank.bound[i];
    ASSERT_NEAR(out, in, bound) << "element " << i;
  }
}

}  // namespace thinwire::exchange::testing
