// Causal attention of one head, forward and backward (Vaswani et al., arXiv 1706.03762, equation 1), without a matrix of all scores: a
// block of rows at a time, of which backward computes the scores again (Dao et al., arXiv 2205.14135, algorithms 1 and 4, with one block of
// all keys).
//
// Products run over their inner index from front to back with fused multiply-add: the same bits on every CPU that has it, whatever the
// width of its vectors; reference.h defines the exponential and the order of sums.
#pragma once
#include <cstddef>
#include <vector>

namespace thinwire::models::fused {

// A row for each of `tokens` positions, `width` floats of which each `stride` floats after the last.
template <class Float>
struct Rows {
  Float* at;
  size_t stride;
};

struct Head {
  size_t tokens, width;
  float scale;  // of q k^T
  Rows<const float> q, k, v;
};

// out = softmax(scale q k^T, over keys up to the query's position) v. log_total (tokens): the logarithm of each row's sum of exponentials.
void attend(const Head& head, Rows<float> out, float* log_total);

// What attend() computed and its gradient; where the gradients go. dq is written, dk and dv are added to: heads may share keys.
struct HeadBackward {
  Rows<const float> out, dout;
  const float* log_total;
  Rows<float> dq, dk, dv;
};
void attend_backward(const Head& head, const HeadBackward& back);

}  // namespace thinwire::models::fused
