// For the host's half of the kernels: fit_bins() of bins.h, for values in device memory.
#pragma once
#include "compressors/device/launch.cuh"
#include "compressors/sparseloco/bin.h"

namespace thinwire::compressors::sparseloco {

// What the fit works in, cut from scratch: for `count` values and so many bins.
struct Fit {
  Fit(device::Scratch& scratch, size_t count, size_t bins);

  size_t count, bins;
  double *sums, *more_sums;   // of runs, and of runs of those
  Bin *tables, *more_tables;  // all bins of a run; of runs of those
  BinGrid* grid;
};

// fit_bins(): codes, and the levels of the bins. Nothing is done after a fault.
void fit_bins_on_device(const Fit& fit, const float* values, uint8_t* codes, float* levels, const DeviceContext& context);

}  // namespace thinwire::compressors::sparseloco
