#include "compressors/sparseloco/fit.cuh"

#include "compressors/device/elements.cuh"
#include "compressors/sparseloco/run_sum.h"

namespace thinwire::compressors::sparseloco {
namespace {

using namespace device;

constexpr int kThreads = 256;
constexpr int kRun = kRunTerms;
static_assert(kRun == kThreads, "code_values() has a thread for each value of a run");

// Sums of runs of terms. Threads fetch the terms of many runs side by side into shared memory; then each run is one thread's, in order.
// Rows are padded by one, so that threads which go down rows do not meet in a bank.
template <int kRuns, class Number, class Term>
__device__ void sum_runs(const Number* numbers, size_t count, const Term& term, size_t first_run, double* sums) {
  __shared__ Number rows[kRuns][kRun + 1];
  for (int i = threadIdx.x; i < kRuns * kRun; i += kThreads) {
    const size_t at = first_run * kRun + i;
    rows[i / kRun][i % kRun] = at < count ? numbers[at] : Number{};
  }
  __syncthreads();
  const size_t run = first_run + threadIdx.x;
  if (threadIdx.x < kRuns && run * kRun < count) {
    const int terms = static_cast<int>(min(count - run * kRun, size_t{kRun}));
    double sum = 0;
#pragma unroll 8
    for (int i = 0; i < terms; ++i) sum += term(rows[threadIdx.x][i]);
    sums[run] = sum;
  }
  __syncthreads();
}

constexpr int kValueRuns = 32, kSumRuns = 16;  // 32 KiB of shared memory each

// With a grid, of the squared distances from its shift.
__global__ void __launch_bounds__(kThreads)
    sum_values(const float* values, size_t count, const BinGrid* grid, double* sums, const DeviceReport* report) {
  if (is_faulty(report)) return;
  const double shift = grid == nullptr ? 0 : grid->shift;
  sum_runs<kValueRuns>(
      values, count, [&](float value) { return grid == nullptr ? static_cast<double>(value) : (value - shift) * (value - shift); },
      size_t{blockIdx.x} * kValueRuns, sums);
}

struct Itself {
  __device__ double operator()(double sum) const { return sum; }
};

__global__ void __launch_bounds__(kThreads) sum_sums(const double* numbers, size_t count, double* sums, const DeviceReport* report) {
  if (is_faulty(report)) return;
  sum_runs<kSumRuns>(numbers, count, Itself(), size_t{blockIdx.x} * kSumRuns, sums);
}

// The last sums, by one block; from the total follows the grid's shift or, when that is known, all of it.
__global__ void __launch_bounds__(kThreads) finish_grid(const double* numbers, size_t count, double values, double bins,
                                                        bool shift_is_known, BinGrid* grid, const DeviceReport* report) {
  if (is_faulty(report)) return;
  __shared__ double sums[kSumRuns];
  sum_runs<kSumRuns>(numbers, count, Itself(), 0, sums);
  if (threadIdx.x > 0) return;
  double total = 0;
  for (size_t run = 0; run * kRun < count; ++run) total += sums[run];
  *grid = shift_is_known ? BinGrid::of(grid->shift, sqrt(total / (values - 1)), bins) : BinGrid{.shift = total / values};
}

// A block for each run: codes, and what falls into each bin.
__global__ void __launch_bounds__(kThreads) code_values(const float* values, size_t count, size_t bins, const BinGrid* grid, uint8_t* codes,
                                                        Bin* tables, const DeviceReport* report) {
  if (is_faulty(report)) return;
  __shared__ float run_values[kRun];
  __shared__ uint8_t run_codes[kRun];
  const size_t first = size_t{blockIdx.x} * kRun, i = first + threadIdx.x;
  if (i < count) {
    const float value = values[i];
    const uint8_t code = grid->code(rint(grid->place(value)));
    run_values[threadIdx.x] = value;
    codes[i] = run_codes[threadIdx.x] = code;
  }
  __syncthreads();
  if (threadIdx.x >= bins) return;
  const int terms = static_cast<int>(min(count - first, size_t{kRun}));
  Bin bin;
#pragma unroll 4
  for (int j = 0; j < terms; ++j) {
    if (run_codes[j] == threadIdx.x) bin.add(run_values[j]);
  }
  tables[blockIdx.x * bins + threadIdx.x] = bin;
}

// A block for each run of tables; with `levels`, which only one block is given, the end of it all.
__global__ void __launch_bounds__(kThreads)
    sum_tables(const Bin* tables, size_t count, size_t bins, Bin* sums, float* levels, const DeviceReport* report) {
  if (is_faulty(report)) return;
  constexpr int kTile = 1024;  // bins that are fetched at once
  __shared__ double tile[kTile][3];
  const size_t tables_a_tile = kTile / bins, first = size_t{blockIdx.x} * kRun, end = min(first + kRun, count);
  Bin sum;
  for (size_t begin = first; begin < end; begin += tables_a_tile) {
    const size_t here = min(tables_a_tile, end - begin);
    const auto* from = reinterpret_cast<const double*>(tables + begin * bins);
    __syncthreads();
    for (size_t i = threadIdx.x; i < here * bins * 3; i += kThreads) tile[i / 3][i % 3] = from[i];
    __syncthreads();
    if (threadIdx.x >= bins) continue;
    for (size_t j = 0; j < here; ++j) {
      const double(&bin)[3] = tile[j * bins + threadIdx.x];
      sum += Bin{bin[0], bin[1], bin[2]};
    }
  }
  if (threadIdx.x >= bins) return;
  if (levels != nullptr) {
    levels[threadIdx.x] = sum.level();
  } else {
    sums[blockIdx.x * bins + threadIdx.x] = sum;
  }
}

void fit_grid(const Fit& fit, const float* values, bool shift_is_known, const DeviceContext& context) {
  const cudaStream_t stream = stream_of(context);
  size_t count = ceil_div(fit.count, kRun);
  double *sums = fit.sums, *more = fit.more_sums;
  sum_values<<<grid_for(count, kValueRuns), kThreads, 0, stream>>>(values, fit.count, shift_is_known ? fit.grid : nullptr, sums,
                                                                   context.report);
  require_launched("sum_values");
  for (; count > kSumRuns * kRun; count = ceil_div(count, kRun), std::swap(sums, more)) {
    sum_sums<<<grid_for(ceil_div(count, kRun), kSumRuns), kThreads, 0, stream>>>(sums, count, more, context.report);
    require_launched("sum_sums");
  }
  finish_grid<<<1, kThreads, 0, stream>>>(sums, count, static_cast<double>(fit.count), static_cast<double>(fit.bins), shift_is_known,
                                          fit.grid, context.report);
  require_launched("finish_grid");
}

}  // namespace

Fit::Fit(Scratch& scratch, size_t value_count, size_t bin_count)
    : count(value_count),
      bins(bin_count),
      sums(scratch.take<double>(ceil_div(count, kRun))),
      more_sums(scratch.take<double>(ceil_div(count, kRun * kRun))),
      tables(scratch.take<Bin>(ceil_div(count, kRun) * bins)),
      more_tables(scratch.take<Bin>(ceil_div(count, kRun * kRun) * bins)),
      grid(scratch.take<BinGrid>(1)) {}

void fit_bins_on_device(const Fit& fit, const float* values, uint8_t* codes, float* levels, const DeviceContext& context) {
  fit_grid(fit, values, false, context);
  fit_grid(fit, values, true, context);
  const cudaStream_t stream = stream_of(context);
  size_t count = ceil_div(fit.count, kRun);
  Bin *tables = fit.tables, *more = fit.more_tables;
  code_values<<<grid_for(count, 1), kThreads, 0, stream>>>(values, fit.count, fit.bins, fit.grid, codes, tables, context.report);
  require_launched("code_values");
  for (; count > kRun; count = ceil_div(count, kRun), std::swap(tables, more)) {
    sum_tables<<<grid_for(ceil_div(count, kRun), 1), kThreads, 0, stream>>>(tables, count, fit.bins, more, nullptr, context.report);
    require_launched("sum_tables");
  }
  sum_tables<<<1, kThreads, 0, stream>>>(tables, count, fit.bins, nullptr, levels, context.report);
  require_launched("sum_tables");
}

}  // namespace thinwire::compressors::sparseloco
