// `quantize` on a device: a team of threads for each bucket, eight elements a thread at a time, whose levels fill `bits` bytes.
#include "compressors/device/launch.cuh"
#include "compressors/device/team.cuh"
#include "compressors/guards.h"
#include "compressors/quantize/device.h"
#include "compressors/quantize/grid.h"

namespace thinwire::compressors {
namespace {

using namespace device;

// The buckets of a layer and of its payload.
struct Cut {
  __host__ __device__ size_t count() const { return (elems + bucket_elems - 1) / bucket_elems; }
  __host__ __device__ size_t header_bytes() const { return is_qsgd ? 4 : 8; }
  __host__ __device__ size_t block_bytes(size_t len) const { return header_bytes() + (len * bits + 7) / 8; }
  __device__ size_t begin(size_t bucket) const { return bucket * bucket_elems; }
  __device__ int size(size_t bucket) const { return static_cast<int>(min(bucket_elems, elems - begin(bucket))); }
  __device__ size_t block(size_t bucket) const { return bucket * block_bytes(bucket_elems); }
  size_t payload_bytes() const {
    const size_t rest = elems % bucket_elems;
    return elems / bucket_elems * block_bytes(bucket_elems) + (rest == 0 ? 0 : block_bytes(rest));
  }

  size_t elems, bucket_elems;
  int bits;
  bool is_qsgd;
};

struct Seed {
  uint64_t seed, stream;
};

// The low `count` bytes of a number, at an address of any alignment.
__device__ void store_low_bytes(uint64_t number, int count, std::byte* to) {
  const auto address = reinterpret_cast<uintptr_t>(to);
  if (count == 8 && address % 8 == 0) {
    *reinterpret_cast<uint64_t*>(to) = number;
  } else if (count == 4 && address % 4 == 0) {
    *reinterpret_cast<uint32_t*>(to) = static_cast<uint32_t>(number);
  } else if (count == 2 && address % 2 == 0) {
    *reinterpret_cast<uint16_t*>(to) = static_cast<uint16_t>(number);
  } else {
    for (int i = 0; i < count; ++i) to[i] = static_cast<std::byte>(number >> 8 * i);
  }
}
__device__ uint64_t load_low_bytes(const std::byte* from, int count) {
  const auto address = reinterpret_cast<uintptr_t>(from);
  if (count == 8 && address % 8 == 0) return *reinterpret_cast<const uint64_t*>(from);
  if (count == 4 && address % 4 == 0) return *reinterpret_cast<const uint32_t*>(from);
  if (count == 2 && address % 2 == 0) return *reinterpret_cast<const uint16_t*>(from);
  uint64_t number = 0;
  for (int i = 0; i < count; ++i) number |= static_cast<uint64_t>(from[i]) << 8 * i;
  return number;
}

__device__ int packed_bytes(int count, int bits) { return (count * bits + 7) / 8; }

struct Ends {
  float min, max;
};

template <class Team, int kHeld>
__device__ Grid write_minmax(Bucket<Team, kHeld>& bucket, int bits, std::byte* header) {
  Ends ends{INFINITY, -INFINITY};
  bucket.each([&](int, int count, const float(&a)[kGroup]) {
    if (count == 0) return;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      const float value = j < count ? a[j] : a[0];
      ends = {fminf(ends.min, value), fmaxf(ends.max, value)};
    }
  });
  ends = Team::reduce(ends, [](Ends a, Ends b) { return Ends{fminf(a.min, b.min), fmaxf(a.max, b.max)}; });
  ends = {ends.min + 0.0f, ends.max + 0.0f};  // -0 + 0 = +0
  if (Team::rank() == 0) memcpy(header, &ends, sizeof ends);
  return Team::of_one_warp([=] { return Grid::between(ends.min, ends.max, bits); });
}

template <class Team, int kHeld>
__device__ Grid write_norm(Bucket<Team, kHeld>& bucket, int bits, std::byte* header) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  const double square_sum = lane_sum(bucket, [](float a) { return static_cast<double>(a) * a; });
  return Team::of_one_warp([=] {
    const double norm = sqrt(square_sum);
    const float scale = static_cast<float>(norm < kLargest ? norm : kLargest);
    if (Team::rank() == 0) memcpy(header, &scale, sizeof scale);
    return Grid::around_zero(scale, bits);
  });
}

// The values of up to 32 levels are worked out once, each by a lane of the warp, and asked for there.
class Values {
 public:
  static constexpr int kMostTableBits = 5;
  __device__ explicit Values(const Grid& grid) : grid_(grid), of_lane_(grid.value(static_cast<uint8_t>(threadIdx.x % 32))) {}
  // By all lanes together.
  template <bool kTable>
  __device__ float of(uint8_t level) const {
    return kTable ? __shfl_sync(~0u, of_lane_, level) : grid_.value(level);
  }

 private:
  const Grid& grid_;
  float of_lane_;
};

// Turns a group into its levels, packed, and what they leave of it. What is behind `count` means nothing.
template <bool kStochastic, bool kTable>
__device__ uint64_t quantize_group(const Grid& grid, const Values& values, int bits, const Seed& seed, uint64_t group, int count,
                                   float (&a)[kGroup]) {
  std::array<uint32_t, 4> words{};
  if constexpr (kStochastic) {
    words = philox4x32({static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32), static_cast<uint32_t>(seed.stream),
                        static_cast<uint32_t>(seed.stream >> 32)},
                       {static_cast<uint32_t>(seed.seed), static_cast<uint32_t>(seed.seed >> 32)});
  }
  uint64_t levels = 0;
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    const double dither = kStochastic ? dither_of(static_cast<uint16_t>(words[j / 2] >> 16 * (j % 2))) : 0.5;
    const uint8_t level = grid.level(a[j], dither);
    if (j < count) levels |= static_cast<uint64_t>(level) << bits * j;
    a[j] = left_of(a[j] - values.of<kTable>(level), 0);
  }
  return levels;
}

template <class Team, int kHeld, bool kQsgd, bool kStochastic>
__global__ void __launch_bounds__(Team::kBlockThreads, Team::kBlocks)
    encode_buckets(Sum sum, Cut cut, Seed seed, std::byte* out, DeviceReport* report) {
  const size_t index = Team::index();
  if (index >= cut.count() || sum.stops(report)) return;
  const size_t begin = cut.begin(index);
  const Run run{sum, begin};
  Bucket<Team, kHeld> bucket(run, cut.size(index));
  bucket.each([&](int at, int, const float(&a)[kGroup]) { report_non_finite(a, begin + at, report); });

  std::byte* block = out + cut.block(index);
  Grid grid;
  if constexpr (kQsgd) {
    grid = write_norm(bucket, cut.bits, block);
  } else {
    grid = write_minmax(bucket, cut.bits, block);
  }
  const Values values(grid);
  std::byte* packed = block + cut.header_bytes();
  bucket.each([&](int at, int count, float(&a)[kGroup]) {
    const uint64_t group = (begin + at) / kGroup;
    const uint64_t levels = cut.bits <= Values::kMostTableBits
                                ? quantize_group<kStochastic, true>(grid, values, cut.bits, seed, group, count, a)
                                : quantize_group<kStochastic, false>(grid, values, cut.bits, seed, group, count, a);
    store_low_bytes(levels, packed_bytes(count, cut.bits), packed + at / kGroup * cut.bits);
    run.leave(at, count, a);
  });
}

__device__ float read_float(const std::byte* from) {
  float value;
  memcpy(&value, from, sizeof value);
  return value;
}
__device__ Grid read_header(const std::byte* block, const Cut& cut) {
  if (cut.is_qsgd) return Grid::around_zero(read_float(block), cut.bits);
  return Grid::between(read_float(block), read_float(block + 4), cut.bits);
}
__device__ bool is_bad_scale(float scale) { return !is_finite(scale) || __float_as_uint(scale) == 0x80000000; }

// visit(first element within the bucket, how many, their packed levels) for the groups of this thread.
template <class Team, class Visit>
__device__ void for_each_group(const std::byte* packed, int size, int bits, Visit&& visit) {
  for (int at = Team::rank() * kGroup; at < size; at += Team::kThreads * kGroup) {
    const int count = min(kGroup, size - at);
    visit(at, count, load_low_bytes(packed + at / kGroup * bits, packed_bytes(count, bits)));
  }
}

// QuantizeCodec::fault(), by a team.
template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads) validate_buckets(const std::byte* payload, Cut cut, DeviceReport* report) {
  const size_t index = Team::index();
  if (index >= cut.count()) return;
  const std::byte* block = payload + cut.block(index);
  const int size = cut.size(index);
  const Grid grid = read_header(block, cut);
  bool bad = is_bad_scale(read_float(block)) || (!cut.is_qsgd && is_bad_scale(read_float(block + 4))) || grid.unit < 0;
  const bool any_levels_do = !cut.is_qsgd && grid.unit > 0 && size * cut.bits % 8 == 0;
  if (!bad && !any_levels_do) {
    const unsigned mask = (1u << cut.bits) - 1;
    for_each_group<Team>(block + cut.header_bytes(), size, cut.bits, [&](int, int count, uint64_t levels) {
      if (count < kGroup) bad |= levels >> count * cut.bits != 0;
      for (int j = 0; j < count; ++j) {
        const unsigned level = static_cast<unsigned>(levels >> j * cut.bits) & mask;
        bad |= (grid.unit == 0 && level != grid.zero) || (cut.is_qsgd && level > 2 * grid.zero);
      }
    });
  }
  if (bad) report_fault(report, index);
}

template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads)
    add_buckets(const std::byte* payload, Cut cut, float weight, float* out, const DeviceReport* report) {
  const size_t index = Team::index();
  if (index >= cut.count() || is_faulty(report)) return;
  const std::byte* block = payload + cut.block(index);
  const Grid grid = read_header(block, cut);
  const unsigned mask = (1u << cut.bits) - 1;
  float* sums_of_bucket = out + cut.begin(index);
  for_each_group<Team>(block + cut.header_bytes(), cut.size(index), cut.bits, [&](int at, int count, uint64_t levels) {
    float sums[kGroup];
    load_group(sums_of_bucket + at, count, sums);
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      if (j < count) sums[j] += weight * grid.value(static_cast<uint8_t>(levels >> j * cut.bits & mask));
    }
    store_group(sums, count, sums_of_bucket + at);
  });
}

class DeviceQuantize final : public DeviceCodec {
 public:
  explicit DeviceQuantize(const QuantizeOnDevice& parameters) : parameters_(parameters) {}
  size_t scratch_bytes(Layer) const override { return 0; }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const Cut cut = this->cut(layer);
    const Sum sum(in);
    begin_encode(sum, cut.elems, cut.payload_bytes(), context);
    if (cut.elems == 0) return;
    const Draw draw = context.own.fork(layer.id);
    const Seed seed{draw.seed(), draw.stream()};
    with_team(cut.bucket_elems, [&]<class Team, int kHeld>() {
      const auto launch = [&]<bool kQsgd, bool kStochastic>() {
        encode_buckets<Team, kHeld, kQsgd, kStochastic>
            <<<grid_for(cut.count(), Team::kPerBlock), Team::kBlockThreads, 0, stream_of(context)>>>(sum, cut, seed, out, context.report);
      };
      if (cut.is_qsgd) {
        parameters_.is_stochastic ? launch.template operator()<true, true>() : launch.template operator()<true, false>();
      } else {
        parameters_.is_stochastic ? launch.template operator()<false, true>() : launch.template operator()<false, false>();
      }
    });
    require_launched("encode_buckets");
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    const Cut cut = this->cut(layer);
    const bool is_refused = payload.size() != cut.payload_bytes();
    begin(context, payload.size(), is_refused);
    if (cut.elems == 0 || is_refused) return;
    with_decoding_team(cut.bucket_elems, [&]<class Team>() {
      const unsigned grid = grid_for(cut.count(), Team::kPerBlock);
      const cudaStream_t stream = stream_of(context);
      validate_buckets<Team><<<grid, Team::kBlockThreads, 0, stream>>>(payload.data(), cut, context.report);
      add_buckets<Team><<<grid, Team::kBlockThreads, 0, stream>>>(payload.data(), cut, weight, out, context.report);
    });
    require_launched("add_buckets");
  }

 private:
  Cut cut(Layer layer) const {
    return {static_cast<size_t>(layer.elems()), parameters_.bucket_elems, parameters_.bits, parameters_.is_qsgd};
  }

  QuantizeOnDevice parameters_;
};

std::unique_ptr<DeviceCodec> make_quantize(const QuantizeOnDevice& parameters) { return std::make_unique<DeviceQuantize>(parameters); }

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_quantize() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::QuantizeOnDevice> maker = thinwire::compressors::make_quantize;
  return &maker;
}
