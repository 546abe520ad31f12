#include "compressors/device/launch.cuh"

namespace thinwire::compressors::device {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kGroupsEach = 4;  // 256 bytes in flight a thread

__global__ void begin_report(DeviceReport* report, uint64_t payload_bytes, uint64_t fault) { *report = {payload_bytes, fault}; }

__global__ void __launch_bounds__(kThreads) find_non_finite(Sum sum, size_t elems, DeviceReport* report) {
  const size_t first = size_t{blockIdx.x} * kThreads * kGroupsEach + threadIdx.x;
  float a[kGroupsEach][kGroup];
#pragma unroll
  for (int g = 0; g < kGroupsEach; ++g) {
    const size_t i = (first + g * kThreads) * kGroup;
    sum.load(i, i < elems ? static_cast<int>(min(elems - i, size_t{kGroup})) : 0, a[g]);
  }
#pragma unroll
  for (int g = 0; g < kGroupsEach; ++g) report_non_finite(a[g], (first + g * kThreads) * kGroup, report);
}

}  // namespace

void begin(const DeviceContext& context, size_t payload_bytes, bool is_refused) {
  begin_report<<<1, 1, 0, stream_of(context)>>>(context.report, payload_bytes, is_refused ? 0 : DeviceReport::kNoFault);
  require_launched("begin_report");
}

void begin_encode(const Sum& sum, size_t elems, size_t payload_bytes, const DeviceContext& context) {
  begin(context, payload_bytes);
  if (!sum.in_place || elems == 0) return;
  find_non_finite<<<grid_for(elems, kThreads * kGroupsEach * kGroup), kThreads, 0, stream_of(context)>>>(sum, elems, context.report);
  require_launched("find_non_finite");
}

}  // namespace thinwire::compressors::device
