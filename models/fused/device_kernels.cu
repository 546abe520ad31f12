#include "models/fused/device_kernels.h"

#include <cuda_bf16.h>

#include <type_traits>

#include "base/cuda/launch.cuh"

namespace thinwire::models::fused {

namespace {

constexpr unsigned kWarp = 32, kRowsPerBlock = 8;  // a warp each
constexpr size_t kPartRows = 64;                   // that one part of a weight's gradient adds up
constexpr unsigned kThreads = 256;

__device__ float read(const float* at, size_t i) { return at[i]; }
__device__ float read(const __nv_bfloat16* at, size_t i) { return __bfloat162float(at[i]); }
__device__ void write(float* at, size_t i, float value) { at[i] = value; }
__device__ void write(__nv_bfloat16* at, size_t i, float value) { at[i] = __float2bfloat16(value); }

// Four neighbours at once; `at` is aligned for them.
struct Four {
  float v[4];
};
__device__ Four read4(const float* at) {
  const float4 four = *reinterpret_cast<const float4*>(at);
  return {{four.x, four.y, four.z, four.w}};
}
__device__ Four read4(const __nv_bfloat16* at) {
  const uint2 bits = *reinterpret_cast<const uint2*>(at);
  const float2 low = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&bits.x));
  const float2 high = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&bits.y));
  return {{low.x, low.y, high.x, high.y}};
}
__device__ void write4(float* at, const Four& four) { *reinterpret_cast<float4*>(at) = {four.v[0], four.v[1], four.v[2], four.v[3]}; }
__device__ void write4(__nv_bfloat16* at, const Four& four) {
  const __nv_bfloat162 low = __floats2bfloat162_rn(four.v[0], four.v[1]), high = __floats2bfloat162_rn(four.v[2], four.v[3]);
  *reinterpret_cast<uint2*>(at) = {*reinterpret_cast<const uint32_t*>(&low), *reinterpret_cast<const uint32_t*>(&high)};
}

__device__ float sum_of_warp(float value) {
  for (unsigned step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
  return value;
}

// f(first column) for the groups of kWide columns of a row that this lane has.
template <int kWide, class F>
__device__ void for_columns(size_t cols, F&& f) {
  for (size_t c = threadIdx.x * kWide; c < cols; c += kWarp * kWide) f(c);
}

template <int kWide, class T>
__device__ Four load(const T* at) {
  if constexpr (kWide == 4) return read4(at);
  return {{read(at, 0)}};
}
template <int kWide, class T>
__device__ void store(T* at, const Four& four) {
  if constexpr (kWide == 4) {
    write4(at, four);
  } else {
    write(at, 0, four.v[0]);
  }
}

template <int kWide, class T>
__global__ void norm_kernel(size_t rows, size_t cols, DeviceNorm n) {
  const size_t row = blockIdx.x * size_t{kRowsPerBlock} + threadIdx.y;
  if (row >= rows) return;
  const T* delta = static_cast<const T*>(n.delta);
  const float* h = n.delta != nullptr ? n.h : n.x;
  float squares = 0;
  for_columns<kWide>(cols, [&](size_t c) {
    const size_t at = row * cols + c;
    Four x = load<kWide>(n.x + at);
    if (delta != nullptr) {
      const Four d = load<kWide>(delta + at);
      for (int i = 0; i < kWide; ++i) x.v[i] += d.v[i];
      store<kWide>(n.h + at, x);
    }
    for (int i = 0; i < kWide; ++i) squares += x.v[i] * x.v[i];
  });
  const float scale = 1.0f / sqrtf(sum_of_warp(squares) / static_cast<float>(cols) + n.eps);
  if (threadIdx.x == 0) n.scale[row] = scale;
  for_columns<kWide>(cols, [&](size_t c) {
    const size_t at = row * cols + c;
    Four y = load<kWide>(h + at);
    const Four w = load<kWide>(n.weight + c);
    for (int i = 0; i < kWide; ++i) y.v[i] = y.v[i] * scale * w.v[i];
    store<kWide>(static_cast<T*>(n.y) + at, y);
  });
}

// dx = s (w dy) - h s^3 / cols sum(h w dy) + dh, where s is the row's scale.
template <int kWide, class T>
__global__ void norm_backward_kernel(size_t rows, size_t cols, DeviceNormBackward n) {
  const size_t row = blockIdx.x * size_t{kRowsPerBlock} + threadIdx.y;
  if (row >= rows) return;
  const T* dy = static_cast<const T*>(n.dy);
  float dot = 0;
  for_columns<kWide>(cols, [&](size_t c) {
    const Four h = load<kWide>(n.h + row * cols + c), g = load<kWide>(dy + row * cols + c), w = load<kWide>(n.weight + c);
    for (int i = 0; i < kWide; ++i) dot += h.v[i] * (w.v[i] * g.v[i]);
  });
  const float s = n.scale[row], pull = sum_of_warp(dot) * s * s * s / static_cast<float>(cols);
  for_columns<kWide>(cols, [&](size_t c) {
    const size_t at = row * cols + c;
    const Four h = load<kWide>(n.h + at), g = load<kWide>(dy + at), w = load<kWide>(n.weight + c);
    Four dx;
    for (int i = 0; i < kWide; ++i) dx.v[i] = s * (w.v[i] * g.v[i]) - h.v[i] * pull;
    if (n.dh != nullptr) {
      const Four dh = load<kWide>(n.dh + at);
      for (int i = 0; i < kWide; ++i) dx.v[i] += dh.v[i];
    }
    store<kWide>(n.dx + at, dx);
    if (n.ddelta != nullptr) store<kWide>(static_cast<T*>(n.ddelta) + at, dx);
  });
}

// A column a thread, kPartRows rows a block.
template <class T>
__global__ void weight_parts_kernel(size_t rows, size_t cols, DeviceNormBackward n) {
  const size_t col = blockIdx.x * size_t{blockDim.x} + threadIdx.x, first = blockIdx.y * kPartRows;
  if (col >= cols) return;
  const size_t end = first + kPartRows < rows ? first + kPartRows : rows;
  float sum = 0;
  for (size_t row = first; row < end; ++row) {
    sum += read(static_cast<const T*>(n.dy), row * cols + col) * n.h[row * cols + col] * n.scale[row];
  }
  n.dweight_parts[blockIdx.y * cols + col] = sum;
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

template <int kWide, class T>
__global__ void swiglu_kernel(size_t elems, const T* gate, const T* up, T* out) {
  const size_t at = (blockIdx.x * size_t{blockDim.x} + threadIdx.x) * kWide;
  if (at >= elems) return;
  Four g = load<kWide>(gate + at);
  const Four u = load<kWide>(up + at);
  for (int i = 0; i < kWide; ++i) g.v[i] = g.v[i] * sigmoid(g.v[i]) * u.v[i];
  store<kWide>(out + at, g);
}

template <int kWide, class T>
__global__ void swiglu_backward_kernel(size_t elems, const T* dout, const T* gate, const T* up, T* dgate, T* dup) {
  const size_t at = (blockIdx.x * size_t{blockDim.x} + threadIdx.x) * kWide;
  if (at >= elems) return;
  const Four d = load<kWide>(dout + at), g = load<kWide>(gate + at), u = load<kWide>(up + at);
  Four dg, du;
  for (int i = 0; i < kWide; ++i) {
    const float s = sigmoid(g.v[i]);
    dg.v[i] = d.v[i] * u.v[i] * s * (1.0f + g.v[i] * (1.0f - s));
    du.v[i] = d.v[i] * g.v[i] * s;
  }
  store<kWide>(dgate + at, dg);
  store<kWide>(dup + at, du);
}

template <int kWide, class T>
__global__ void rotate_kernel(size_t pairs, size_t heads, size_t half, size_t context, const float* cos, const float* sin, float sign,
                              const T* x, T* out) {
  const size_t pair = (blockIdx.x * size_t{blockDim.x} + threadIdx.x) * kWide;  // (token, head, i)
  if (pair >= pairs) return;
  const size_t i = pair % half, head = pair / half, token = head / heads % context;
  const size_t at = head * 2 * half + i, in_table = token * 2 * half + i;
  const Four a = load<kWide>(x + at), b = load<kWide>(x + at + half), c = load<kWide>(cos + in_table), s = load<kWide>(sin + in_table);
  Four first, second;
  for (int k = 0; k < kWide; ++k) {
    first.v[k] = a.v[k] * c.v[k] - sign * b.v[k] * s.v[k];
    second.v[k] = b.v[k] * c.v[k] + sign * a.v[k] * s.v[k];
  }
  store<kWide>(out + at, first);
  store<kWide>(out + at + half, second);
}

// f(width, element): a constant of 4 where rows are multiples of 4, else of 1, and a value of the type. Tensors of their own memory are
// aligned.
template <class F>
void with(Element element, size_t cols, F&& f) {
  const auto of_width = [&](auto value) {
    if (cols % 4 == 0) {
      f(std::integral_constant<int, 4>(), value);
    } else {
      f(std::integral_constant<int, 1>(), value);
    }
  };
  element == Element::bf16 ? of_width(__nv_bfloat16()) : of_width(float());
}

size_t norm_parts(size_t rows) { return cuda::ceil_div(rows, kPartRows); }

void norm(Element element, size_t rows, size_t cols, const DeviceNorm& n, cuda::Stream stream) {
  if (rows == 0) return;
  with(element, cols, [&](auto width, auto value) {
    norm_kernel<width(), decltype(value)><<<cuda::grid_for(rows, kRowsPerBlock), dim3(kWarp, kRowsPerBlock), 0, cuda::native(stream)>>>(rows, cols, n);
  });
  cuda::require_launched("norm");
}

void norm_backward(Element element, size_t rows, size_t cols, const DeviceNormBackward& n, cuda::Stream stream) {
  if (rows == 0) return;
  with(element, cols, [&](auto width, auto value) {
    using T = decltype(value);
    norm_backward_kernel<width(), T><<<cuda::grid_for(rows, kRowsPerBlock), dim3(kWarp, kRowsPerBlock), 0, cuda::native(stream)>>>(rows, cols, n);
    weight_parts_kernel<T><<<dim3(cuda::grid_for(cols, 128), cuda::grid_for(rows, kPartRows)), 128, 0, cuda::native(stream)>>>(rows, cols, n);
  });
  cuda::require_launched("norm_backward");
}

void swiglu(Element element, size_t elems, const void* gate, const void* up, void* out, cuda::Stream stream) {
  if (elems == 0) return;
  with(element, elems, [&](auto width, auto value) {
    using T = decltype(value);
    swiglu_kernel<width(), T><<<cuda::grid_for(elems, kThreads * width()), kThreads, 0, cuda::native(stream)>>>(
        elems, static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(out));
  });
  cuda::require_launched("swiglu");
}

void swiglu_backward(Element element, size_t elems, const void* dout, const void* gate, const void* up, void* dgate, void* dup,
                     cuda::Stream stream) {
  if (elems == 0) return;
  with(element, elems, [&](auto width, auto value) {
    using T = decltype(value);
    swiglu_backward_kernel<width(), T><<<cuda::grid_for(elems, kThreads * width()), kThreads, 0, cuda::native(stream)>>>(
        elems, static_cast<const T*>(dout), static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(dgate),
        static_cast<T*>(dup));
  });
  cuda::require_launched("swiglu_backward");
}

void rotate(Element element, size_t tokens, size_t heads, size_t half, size_t context, const float* cos, const float* sin, float sign,
            const void* x, void* out, cuda::Stream stream) {
  const size_t pairs = tokens * heads * half;
  if (pairs == 0) return;
  with(element, half, [&](auto width, auto value) {
    using T = decltype(value);
    rotate_kernel<width(), T><<<cuda::grid_for(pairs, kThreads * width()), kThreads, 0, cuda::native(stream)>>>(
        pairs, heads, half, context, cos, sin, sign, static_cast<const T*>(x), static_cast<T*>(out));
  });
  cuda::require_launched("rotate");
}

constexpr DeviceKernels kKernels = {norm_parts, norm, norm_backward, swiglu, swiglu_backward, rotate};

}  // namespace

}  // namespace thinwire::models::fused

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_models() { return &thinwire::models::fused::kKernels; }
