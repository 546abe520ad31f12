// The functions of reference.h, vectorised (Highway, chosen at run time): the same bits on every CPU.
#pragma once
#include "models/fused/reference.h"

namespace thinwire::models::fused {

void rms_norm(Shape shape, const Norm& norm);
void rms_norm_backward(Shape shape, const NormBackward& norm);
void swiglu(size_t count, const float* gate, const float* up, float* out);
void swiglu_backward(size_t count, const float* dout, const float* gate, const float* up, float* dgate, float* dup);
void rotate(const Rotation& rotation, Turn direction, const float* x, float* out);
void cross_entropy(Shape shape, const float* scores, const int64_t* targets, float weight, double* loss, float* gradient);

}  // namespace thinwire::models::fused
