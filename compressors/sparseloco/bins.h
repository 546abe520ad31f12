// SparseLoCo's quantiser: all values of a tensor fall into a few bins around their mean, and each value becomes the mean of its bin.
//
//   shift  = mean of the values                       c = value - shift
//   sigma  = sqrt(sum of c^2 / (n - 1))               scale = 6 * sigma / bins, or 1 where that is 0
//   code   = c / scale + bins / 2, rounded to the nearest integer (ties to even), clamped to [0, bins - 1]
//   level  = mean of the values of the bin; 0 for an empty one
//
// (Reference code of arXiv 2508.15706; it states a bin's mean relative to the shift, which comes to the same.) To the bit: all in doubles,
// sums in runs of 256 values (run_sum.h), operations in the order written; a level is rounded to fp32, to at most the largest finite one.
//
// A bin may hold values of both signs, and a sum that cancels is mostly rounding. So |sum| < 2^-20 * (sum of magnitudes) counts as 0.
//
// The squared error is at most the square sum of the values, for n < 2^31 (in any order of summing). Proof: let a bin have n values of sum
// s, magnitude sum A, mean m = s/n, and level l. Its error is (sum of v^2) - n m^2 + n (m - l)^2: it suffices that |m - l| <= |m|. Summing
// in doubles errs by less than n 2^-53 A <= 2^-22 A. Where the sum counts as 0, so does l. Elsewhere |s| > (2^-20 - 2^-21) A, and the error
// of summing is below |s| / 2; where it is not 0 at all, A > 2^-96 (sums of multiples of 2^-149 below that are exact), |m| > 2^-21 A / n >
// 2^-148, and rounding to fp32 adds at most |m| / 4. If summing is exact, l is m rounded, and 0 is among the values that it may be rounded
// to. Clamping to the largest fp32 only brings l nearer to m.
#pragma once
#include <cstdint>
#include <span>

namespace thinwire::compressors {

// codes.size() == values.size() >= 2; levels.size() is the number of bins, 4 to 256.
void fit_bins(std::span<const float> values, std::span<float> levels, std::span<uint8_t> codes);

}  // namespace thinwire::compressors
