// The casts on a device: none and bf16. Each thread turns eight elements into eight wires, or back.
#include "compressors/cast/bf16.h"
#include "compressors/cast/none.h"
#include "compressors/device/launch.cuh"

namespace thinwire::compressors {
namespace {

using namespace device;

constexpr int kThreads = 256;

__device__ size_t first_of_thread() { return (size_t{blockIdx.x} * kThreads + threadIdx.x) * kGroup; }
__device__ int size_of_group(size_t i, size_t elems) { return static_cast<int>(min(elems - i, size_t{kGroup})); }

template <class Cast>
__global__ void __launch_bounds__(kThreads) encode_casts(Sum sum, size_t elems, typename Cast::Wire* out, DeviceReport* report) {
  const size_t i = first_of_thread();
  if (i >= elems) return;
  const int count = size_of_group(i, elems);
  float a[kGroup];
  sum.load(i, count, a);
  if (sum.stops(report)) return;
  report_non_finite(a, i, report);
  typename Cast::Wire wires[kGroup];
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    wires[j] = Cast::to_wire(a[j]);
    a[j] -= Cast::from_wire(wires[j]);
  }
  store_group(wires, count, out + i);
  sum.leave(i, count, a);
}

template <class Cast>
__global__ void __launch_bounds__(kThreads) validate_casts(const typename Cast::Wire* payload, size_t elems, DeviceReport* report) {
  const size_t i = first_of_thread();
  if (i >= elems) return;
  typename Cast::Wire wires[kGroup];
  load_group(payload + i, size_of_group(i, elems), wires);
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if ((wires[j] & Cast::kExponent) == Cast::kExponent) report_fault(report, i + j);
  }
}

template <class Cast>
__global__ void __launch_bounds__(kThreads)
    add_casts(const typename Cast::Wire* payload, size_t elems, float weight, float* out, const DeviceReport* report) {
  const size_t i = first_of_thread();
  if (i >= elems) return;
  const int count = size_of_group(i, elems);
  typename Cast::Wire wires[kGroup];
  float sums[kGroup];
  load_group(payload + i, count, wires);
  load_group(out + i, count, sums);
  if (is_faulty(report)) return;
#pragma unroll
  for (int j = 0; j < kGroup; ++j) sums[j] += weight * Cast::from_wire(wires[j]);
  store_group(sums, count, out + i);
}

template <class Cast>
class DeviceCast final : public DeviceCodec {
 public:
  using Wire = typename Cast::Wire;
  size_t scratch_bytes(Layer) const override { return 0; }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    const Sum sum(in);
    begin_encode(sum, elems, elems * sizeof(Wire), context);
    if (elems == 0) return;
    encode_casts<Cast><<<grid(elems), kThreads, 0, stream_of(context)>>>(sum, elems, reinterpret_cast<Wire*>(out), context.report);
    require_launched("encode_casts");
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    const bool is_refused = payload.size() != elems * sizeof(Wire);
    begin(context, payload.size(), is_refused);
    if (elems == 0 || is_refused) return;
    const auto* wires = reinterpret_cast<const Wire*>(payload.data());
    validate_casts<Cast><<<grid(elems), kThreads, 0, stream_of(context)>>>(wires, elems, context.report);
    require_launched("validate_casts");
    add_casts<Cast><<<grid(elems), kThreads, 0, stream_of(context)>>>(wires, elems, weight, out, context.report);
    require_launched("add_casts");
  }

 private:
  static unsigned grid(size_t elems) { return grid_for(elems, kThreads * kGroup); }
};

template <class Cast>
std::unique_ptr<DeviceCodec> make_cast(const CastOnDevice&) {
  return std::make_unique<DeviceCast<Cast>>();
}

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_none() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::CastOnDevice> maker =
      thinwire::compressors::make_cast<thinwire::compressors::Fp32Cast>;
  return &maker;
}

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_bf16() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::CastOnDevice> maker =
      thinwire::compressors::make_cast<thinwire::compressors::Bf16Cast>;
  return &maker;
}
