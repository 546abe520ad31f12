// A long sum whose rounding does not depend on the machine, and which many threads can share: in runs of 256.
//
// The terms of a run are added in order, from 0; the sums of 256 runs are the terms of a run on the next level, and so on. So a sum of up
// to 256 terms is the plain one, and a longer one is more exact than that.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace thinwire::compressors {

inline constexpr size_t kRunTerms = 256;

// For less than 2^32 terms. Sum: a number, or a structure with +=, whose default is 0.
template <class Sum>
class RunSum {
 public:
  Sum& run() { return levels_[0]; }  // the caller adds up to kRunTerms to it, then ends it
  void end_run() {
    uint64_t runs = ++runs_;
    carry(0);
    for (size_t level = 1; level + 1 < levels_.size() && runs % kRunTerms == 0; ++level, runs /= kRunTerms) carry(level);
  }
  Sum total() {
    for (size_t level = 0; level + 1 < levels_.size(); ++level) carry(level);
    return levels_.back();
  }

 private:
  void carry(size_t level) {
    levels_[level + 1] += levels_[level];
    levels_[level] = Sum();
  }

  std::array<Sum, 4> levels_{};
  uint64_t runs_ = 0;
};

// visit(the values of a run) for all runs; the last one may be shorter.
template <class Visit>
void for_each_run(std::span<const float> values, Visit&& visit) {
  for (size_t begin = 0; begin < values.size(); begin += kRunTerms)
    visit(values.subspan(begin, std::min(kRunTerms, values.size() - begin)));
}

template <class Term>
double run_sum(std::span<const float> values, const Term& term) {
  RunSum<double> sum;
  for_each_run(values, [&](std::span<const float> run) {
    for (const float value : run) sum.run() += term(value);
    sum.end_run();
  });
  return sum.total();
}

}  // namespace thinwire::compressors
