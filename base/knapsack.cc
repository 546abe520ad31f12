#include "base/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/knapsack_buckets.h"
#include "base/knapsack_relaxation.h"

namespace thinwire {

namespace {

using Choice = std::vector<uint32_t>;

double total(std::span<const KnapsackRow> rows, const Choice& choice, double KnapsackOption::*what) {
  double sum = 0;
  for (size_t l = 0; l < rows.size(); ++l) sum += rows[l][choice[l]].*what;
  return sum;
}

double total_error(std::span<const KnapsackRow> rows, const Choice& choice) { return total(rows, choice, &KnapsackOption::error); }
double total_cost(std::span<const KnapsackRow> rows, const Choice& choice) { return total(rows, choice, &KnapsackOption::cost); }

// Options that could be in an optimum, by rising error and falling cost. Indices into the row.
std::vector<uint32_t> undominated(const KnapsackRow& row, double budget) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < row.size(); ++i) {
    check(std::isfinite(row[i].cost), "costs are finite");
    check(!(row[i].error < 0), "errors are not negative");
    if (std::isfinite(row[i].error) && row[i].error <= budget) order.push_back(i);
  }
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) {
    return row[a].error != row[b].error ? row[a].error < row[b].error : row[a].cost < row[b].cost;
  });
  std::vector<uint32_t> kept;
  for (const uint32_t i : order) {
    if (kept.empty() || row[i].cost < row[kept.back()].cost) kept.push_back(i);
  }
  return kept;
}

// One partial assignment: rows [0, l], the option of row l, and the state of row l - 1 that it extends.
struct State {
  double cost, error;
  uint32_t option, before;
};

// All partial assignments of which none is better in both cost and error; nothing when they become too many.
std::optional<Choice> by_fronts(std::span<const KnapsackRow> rows, double budget, size_t most_states) {
  // What the rows behind add to the error at least, with room for the rounding of sums in another order.
  std::vector<double> least_behind(rows.size() + 1, 0);
  for (size_t l = rows.size(); l-- > 0;) least_behind[l] = least_behind[l + 1] + rows[l].front().error;
  const double limit = budget * (1 + 1e-9);

  std::vector<std::vector<State>> fronts{{{0, 0, 0, 0}}};
  for (size_t l = 0; l < rows.size(); ++l) {
    const std::vector<State>& front = fronts.back();
    if (front.size() * rows[l].size() > most_states) return std::nullopt;
    std::vector<State> states;
    for (uint32_t s = 0; s < front.size(); ++s) {
      for (uint32_t i = 0; i < rows[l].size(); ++i) {
        const State next{front[s].cost + rows[l][i].cost, front[s].error + rows[l][i].error, i, s};
        if (next.error + least_behind[l + 1] <= limit) states.push_back(next);
      }
    }
    std::ranges::stable_sort(states,
                             [](const State& a, const State& b) { return a.error != b.error ? a.error < b.error : a.cost < b.cost; });
    std::vector<State> pruned;
    for (const State& state : states) {
      if (pruned.empty() || state.cost < pruned.back().cost) pruned.push_back(state);
    }
    fronts.push_back(std::move(pruned));
  }

  // By rising error and falling cost: the last within the budget is the cheapest.
  const auto& last = fronts.back();
  const auto over = std::ranges::find_if(last, [&](const State& state) { return state.error > budget; });
  if (over == last.begin()) return std::nullopt;
  Choice choice(rows.size());
  auto at = static_cast<uint32_t>(over - last.begin() - 1);
  for (size_t l = rows.size(); l-- > 0;) {
    choice[l] = fronts[l + 1][at].option;
    at = fronts[l + 1][at].before;
  }
  return choice;
}

// Takes error out until the assignment is within the budget: again and again the change that costs least for what it takes out of the
// excess. There is an assignment within the budget: at worst this ends in every row's least error.
void repair(std::span<const KnapsackRow> rows, double budget, Choice& choice) {
  for (double excess; (excess = total_error(rows, choice) - budget) > 0;) {
    double best_price = std::numeric_limits<double>::infinity();
    size_t best_row = 0;
    uint32_t best_option = 0;
    for (size_t l = 0; l < rows.size(); ++l) {
      const KnapsackOption& now = rows[l][choice[l]];
      for (uint32_t i = 0; i < choice[l]; ++i) {
        const double price = (rows[l][i].cost - now.cost) / std::min(now.error - rows[l][i].error, excess);
        if (price >= best_price) continue;
        best_price = price;
        best_row = l;
        best_option = i;
      }
    }
    if (best_price == std::numeric_limits<double>::infinity()) {  // only with prices beyond double's range
      std::ranges::fill(choice, 0);
      return;
    }
    choice[best_row] = best_option;
  }
}

// Spends what is left of the budget: again and again the one change that saves most and still fits. Rows are sorted as by undominated().
void spend_rest(std::span<const KnapsackRow> rows, double budget, Choice& choice) {
  for (;;) {
    const double left = budget - total_error(rows, choice);
    double best_saving = 0;
    size_t best_row = 0;
    uint32_t best_option = 0;
    for (size_t l = 0; l < rows.size(); ++l) {
      const KnapsackOption& now = rows[l][choice[l]];
      uint32_t i = choice[l];
      while (i + 1 < rows[l].size() && rows[l][i + 1].error - now.error <= left) ++i;
      if (now.cost - rows[l][i].cost <= best_saving) continue;
      best_saving = now.cost - rows[l][i].cost;
      best_row = l;
      best_option = i;
    }
    if (best_saving <= 0) return;
    const uint32_t before = std::exchange(choice[best_row], best_option);
    if (total_error(rows, choice) <= budget) continue;
    choice[best_row] = before;  // the sum rounded upwards
    return;
  }
}

Choice cheapest(std::span<const KnapsackRow> rows) {
  Choice choice;
  for (const KnapsackRow& row : rows) choice.push_back(static_cast<uint32_t>(row.size() - 1));
  return choice;
}

struct Solved {
  Choice choice;
  std::optional<double> bound;  // none: the choice is the optimum
};

// Rows are sorted as by undominated() and not empty.
std::optional<Solved> solve_sorted(std::span<const KnapsackRow> rows, double budget, const KnapsackLimits& limits) {
  const Choice least_error(rows.size(), 0);
  if (total_error(rows, least_error) > budget) return std::nullopt;
  if (Choice choice = cheapest(rows); total_error(rows, choice) <= budget) return Solved{std::move(choice), {}};
  if (auto choice = by_fronts(rows, budget, limits.most_states)) return Solved{std::move(*choice), {}};

  RelaxedKnapsack relaxed = solve_relaxed(rows, budget);
  const BucketTable table(rows, budget, limits.buckets);
  std::vector<Choice> starts = table.cheapest_walks(budget);
  starts.push_back(std::move(relaxed.choice));
  Choice best = least_error;
  for (Choice& choice : starts) {
    repair(rows, budget, choice);
    spend_rest(rows, budget, choice);
    if (total_cost(rows, choice) < total_cost(rows, best)) best = std::move(choice);
  }
  return Solved{std::move(best), std::max(relaxed.bound, table.bound())};
}

KnapsackResult result_of(std::span<const KnapsackRow> rows, Choice choice, std::optional<double> bound) {
  KnapsackResult result{.choice = {}, .cost = total_cost(rows, choice), .error = total_error(rows, choice)};
  result.bound = std::min(bound.value_or(result.cost), result.cost);
  result.exact = !bound || *bound >= result.cost;
  result.choice = std::move(choice);
  return result;
}

}  // namespace

std::optional<KnapsackResult> solve_knapsack(std::span<const KnapsackRow> rows, double budget, std::span<const uint32_t> reference,
                                             const KnapsackLimits& limits) {
  check(limits.buckets > 0, "there is at least one bucket");
  check(reference.empty() || reference.size() == rows.size(), "a reference has an option for each row");
  if (!(budget >= 0)) return std::nullopt;

  std::vector<std::vector<uint32_t>> kept;  // options of the sorted rows -> options of the caller's
  std::vector<KnapsackRow> sorted;
  for (const KnapsackRow& row : rows) {
    kept.push_back(undominated(row, budget));
    if (kept.back().empty()) return std::nullopt;
    sorted.emplace_back();
    for (const uint32_t i : kept.back()) sorted.back().push_back(row[i]);
  }
  auto solved = solve_sorted(sorted, budget, limits);
  if (!solved) return std::nullopt;
  for (size_t l = 0; l < rows.size(); ++l) solved->choice[l] = kept[l][solved->choice[l]];

  KnapsackResult result = result_of(rows, std::move(solved->choice), solved->bound);
  if (!reference.empty()) {
    Choice choice(reference.begin(), reference.end());
    if (total_error(rows, choice) <= budget && total_cost(rows, choice) < result.cost) {
      result = result_of(rows, std::move(choice), result.exact ? std::nullopt : solved->bound);
    }
  }
  check(result.error <= budget, "a result is within the budget");
  return result;
}

}  // namespace thinwire
