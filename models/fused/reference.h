// What the fused kernels compute, in plain C++: the oracle for kernels.cc, what it does at the ends of rows, and the definition of every
// rounding. Products and sums are rounded to fp32 one by one, so that all machines get the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

namespace thinwire::models::fused {

// A sum over a row runs in 16 lanes, column modulo 16, each from front to back.
constexpr size_t kLanes = 16;
// ((l0 + l8) + (l4 + l12)) + ...: halves are added until one is left. Overwrites the lanes.
float sum_of_lanes(float* lanes);

struct Shape {
  size_t rows, cols;  // row-major, rows without gaps
};

// h = x + delta;  scale = 1 / sqrt(mean over the row of h^2 + eps);  y = (h scale) weight
struct Norm {
  const float* x;
  const float* delta;  // null: h is x, and is not written
  const float* weight;
  float eps;
  float* h;
  float* y;
  float* scale;  // one a row
};

// g = dy weight;  dx = (scale (g - h (scale^2 mean(g h)))) + dh;  dweight += dy (h scale), row after row
struct NormBackward {
  const float* dy;
  const float* dh;  // null: nothing
  const float* h;
  const float* weight;
  const float* scale;
  float* dx;
  float* dweight;
};

// Rotary positions, half-split: within a head, element i < half makes a pair (a, b) with element half + i, which turns by the angle of its
// position: (a cos - b sin, b cos + a sin).
struct Rotation {
  size_t tokens, heads, half;  // x and out (tokens, heads, 2 half), which may be the same
  size_t first, context;       // token j has position (first + j) modulo context
  const float* cos;            // (context, 2 half), of which the first half of a row is read
  const float* sin;
};
enum class Turn { forward, back };  // back: by the opposite angle

namespace reference {

// e^x for x <= 0, NaN for NaN, 0 below -87.33 where it leaves the normal numbers. Relative error below 2^-22.
float exp_of_nonpositive(float x);

void rms_norm(Shape shape, const Norm& norm);
void rms_norm_backward(Shape shape, const NormBackward& norm);

// out = gate sigmoid(gate) up
void swiglu(size_t count, const float* gate, const float* up, float* out);
// s = sigmoid(gate);  dup = dout (gate s);  dgate = (dout up) (s + (gate s) (1 - s))
void swiglu_backward(size_t count, const float* dout, const float* gate, const float* up, float* dgate, float* dup);

void rotate(const Rotation& rotation, Turn direction, const float* x, float* out);

// Of each row of scores: loss = log(sum of e^score) - score of the target, in double from the fp32 sum of e^(score - largest);
// gradient = weight softmax, less weight at the target. Targets must lie within the row. gradient may be null, and may be the scores.
void cross_entropy(Shape shape, const float* scores, const int64_t* targets, float weight, double* loss, float* gradient);

}  // namespace reference
}  // namespace thinwire::models::fused
