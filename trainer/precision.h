// In what precision a run multiplies matrices (run.precision). Tensors, sums, gradients and optimiser are fp32 throughout.
//
//   fp32     fp32 products
//   medium   on a GPU: TF32. On a CPU: LibTorch may round the factors of fp32 products to bf16, and does where the CPU multiplies bf16
//   faster (AVX512-BF16, AMX):
//            PyTorch's set_float32_matmul_precision("medium")
//   bf16     autocast: products take and give bf16 (models/autocast.h)
//   auto     on a GPU bf16; on a CPU whichever is fastest on rank 0, and fp32 unless another is at least 10 % faster
#pragma once
#include "comm/driver.h"
#include "models/model.h"
#include "trainer/options.h"

namespace thinwire::trainer {

struct Precision {
  std::string used;    // fp32 | medium | bf16
  std::string reason;  // of auto's choice, with what was measured; else empty
};

// The same on every rank: a collective. `rows`: of the matrices that the model multiplies by its weights, which are samples x positions.
// auto multiplies for about half a second.
Precision choose_precision(comm::Driver& driver, const std::string& asked, const models::Model& model, int64_t rows);

// Of all threads of the process: LibTorch's setting is. fp32 and bf16 ask for full fp32 products, medium for less.
void set_process_precision(const std::string& used);

// Makes the process multiply so, and returns the model that does.
std::unique_ptr<models::Model> apply_precision(const Precision& precision, std::unique_ptr<models::Model> model);

}  // namespace thinwire::trainer
