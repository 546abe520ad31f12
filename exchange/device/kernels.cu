// The exchange's own kernels: elementwise ones of four elements a thread and turn, and sums in double by one fixed tree.
#include "base/cuda/launch.cuh"
#include "exchange/device/kernels.h"

namespace thinwire::exchange {
namespace {

using cuda::native;
using cuda::require_launched;

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 2048;  // the elements behind them are taken in turns

unsigned blocks_for(size_t elems) {
  const size_t blocks = cuda::ceil_div(elems, kThreads * 4);
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

template <class Each>
__global__ void __launch_bounds__(kThreads) for_each(size_t elems, Each each) {
  const size_t turn = size_t{gridDim.x} * kThreads;
  for (size_t i = size_t{blockIdx.x} * kThreads + threadIdx.x; i < elems; i += turn) each(i);
}

template <class Each>
void launch(const char* name, size_t elems, cuda::Stream stream, Each each) {
  if (elems == 0) return;
  for_each<<<blocks_for(elems), kThreads, 0, native(stream)>>>(elems, each);
  require_launched(name);
}

struct Scale {
  float* x;
  float factor;
  __device__ void operator()(size_t i) const { x[i] *= factor; }
};
struct Subtract {
  float* out;
  const float *a, *b;
  __device__ void operator()(size_t i) const { out[i] = a[i] - b[i]; }
};
struct OuterSgd {
  float* anchor;
  const float* mean;
  OuterRule rule;
  __device__ void operator()(size_t i) const { anchor[i] = outer_sgd(anchor[i], mean[i], rule); }
};
struct OuterNesterov {
  float* anchor;
  const float* mean;
  float* momentum;
  OuterRule rule;
  __device__ void operator()(size_t i) const {
    float m = momentum[i];
    anchor[i] = outer_nesterov(anchor[i], mean[i], m, rule);
    momentum[i] = m;
  }
};
struct Follow {
  float* parameter;
  const float *anchor, *departed;
  __device__ void operator()(size_t i) const { parameter[i] = follow(parameter[i], anchor[i], departed[i]); }
};

constexpr unsigned kSumBlocks = 256;  // partial sums, of which there is always the same number: the order must not depend on the GPU

// The sum over the block, on its first thread.
__device__ double block_sum(double value) {
  __shared__ double partial[kThreads];
  partial[threadIdx.x] = value;
  __syncthreads();
  for (unsigned width = kThreads / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) partial[threadIdx.x] += partial[threadIdx.x + width];
    __syncthreads();
  }
  const double total = partial[0];
  __syncthreads();
  return total;
}

__global__ void __launch_bounds__(kThreads) sum_squares(compressors::In in, size_t elems, double* partials) {
  double input = 0, offered = 0;
  const size_t turn = size_t{gridDim.x} * kThreads;
  for (size_t i = size_t{blockIdx.x} * kThreads + threadIdx.x; i < elems; i += turn) {
    const float fresh = in.scale * in.x[i];
    const float a = in.residual == nullptr ? fresh : in.decay * in.residual[i] + fresh;
    input += static_cast<double>(fresh) * fresh;
    offered += static_cast<double>(a) * a;
  }
  const double block_input = block_sum(input), block_offered = block_sum(offered);
  if (threadIdx.x == 0) {
    partials[2 * blockIdx.x] = block_input;
    partials[2 * blockIdx.x + 1] = block_offered;
  }
}

// By one block.
__global__ void __launch_bounds__(kThreads) sum_partials(const double* partials, double* sums, int wanted) {
  static_assert(kThreads == kSumBlocks);
  for (int which = 0; which < wanted; ++which) {
    const double total = block_sum(partials[2 * threadIdx.x + which]);
    if (threadIdx.x == 0) sums[which] = total;
  }
}

class RealKernels final : public Kernels {
 public:
  void scale(float* x, size_t elems, float factor, cuda::Stream stream) const override { launch("scale", elems, stream, Scale{x, factor}); }
  void subtract(float* out, const float* a, const float* b, size_t elems, cuda::Stream stream) const override {
    launch("subtract", elems, stream, Subtract{out, a, b});
  }
  void apply_outer(float* anchor, const float* mean, float* momentum, size_t elems, OuterRule rule, cuda::Stream stream) const override {
    if (momentum == nullptr)
      launch("outer_sgd", elems, stream, OuterSgd{anchor, mean, rule});
    else
      launch("outer_nesterov", elems, stream, OuterNesterov{anchor, mean, momentum, rule});
  }
  void follow(float* parameter, const float* anchor, const float* departed, size_t elems, cuda::Stream stream) const override {
    launch("follow", elems, stream, Follow{parameter, anchor, departed});
  }

  size_t squares_scratch_bytes() const override { return 2 * kSumBlocks * sizeof(double); }
  void squares(const compressors::In& in, size_t elems, double* sums, std::byte* scratch, cuda::Stream stream) const override {
    sum(in, elems, sums, 2, scratch, stream);
  }
  void square_sum(const float* x, size_t elems, double* sums, std::byte* scratch, cuda::Stream stream) const override {
    sum({.x = x}, elems, sums, 1, scratch, stream);
  }

 private:
  static void sum(const compressors::In& in, size_t elems, double* sums, int wanted, std::byte* scratch, cuda::Stream stream) {
    auto* partials = reinterpret_cast<double*>(scratch);
    sum_squares<<<kSumBlocks, kThreads, 0, native(stream)>>>(in, elems, partials);
    require_launched("sum_squares");
    sum_partials<<<1, kThreads, 0, native(stream)>>>(partials, sums, wanted);
    require_launched("sum_partials");
  }
};

}  // namespace
}  // namespace thinwire::exchange

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_exchange() {
  static const thinwire::exchange::RealKernels kernels;
  return static_cast<const thinwire::exchange::Kernels*>(&kernels);
}
