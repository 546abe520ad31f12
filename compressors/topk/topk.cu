// `topk` by chunks on a device: a team of threads holds a chunk in registers, finds the cut, and makes the chunk's block in shared memory.
#include <algorithm>

#include "compressors/device/launch.cuh"
#include "compressors/device/select.cuh"
#include "compressors/topk/device.h"
#include "compressors/topk/reference.h"
#include "compressors/values/scaled_half.h"

namespace thinwire::compressors {
namespace {

using namespace device;

// The blocks of a layer that has at least one element. All but the last have one length; all payloads of a layer are as long.
struct Cut {
  __host__ __device__ size_t count() const { return (elems + block_elems - 1) / block_elems; }
  __host__ __device__ bool is_last(size_t block) const { return block + 1 == count(); }
  __device__ size_t begin(size_t block) const { return block * block_elems; }
  __device__ int size(size_t block) const { return static_cast<int>(min(block_elems, elems - begin(block))); }
  __device__ int kept(size_t block) const { return is_last(block) ? last_kept : first_kept; }
  __host__ __device__ int value_bytes(int kept) const { return is_fp16 ? 1 + 2 * kept : 4 * kept; }
  __host__ __device__ int block_bytes(int kept) const { return value_bytes(kept) + (is_packed12 ? (3 * kept + 1) / 2 : 2 * kept); }
  __device__ size_t block_begin(size_t block) const { return block * block_bytes(first_kept); }
  size_t payload_bytes() const { return (count() - 1) * block_bytes(first_kept) + block_bytes(last_kept); }
  int image_bytes() const { return device::image_bytes(block_bytes(first_kept)) + 4; }  // a field of 12 bits may touch the word behind

  size_t elems, block_elems;
  int first_kept, last_kept;
  bool is_fp16, is_packed12;
};

extern __shared__ __align__(16) std::byte images[];

// Each team has an image of its own.
template <class Team>
__device__ std::byte* image_of_team(const Cut& cut) {
  const int bytes = (device::image_bytes(cut.block_bytes(cut.first_kept)) + 4 + 15) / 16 * 16;
  return images + Team::within_block() * bytes;
}
template <class Team>
size_t shared_bytes(const Cut& cut) {
  return size_t{Team::kPerBlock} * ((cut.image_bytes() + 15) / 16 * 16);
}

template <class T>
__device__ T get(const std::byte* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <class Team, int kHeld>
__global__ void __launch_bounds__(Team::kBlockThreads, Team::kBlocks)
    encode_chunks(Sum sum, Cut cut, std::byte* out, DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= cut.count() || sum.stops(report)) return;
  const size_t begin = cut.begin(block);
  const int kept = cut.kept(block), bytes = cut.block_bytes(kept);
  const Run run{sum, begin};
  Bucket<Team, kHeld> bucket(run, cut.size(block));

  std::byte* piece = out + cut.block_begin(block);
  std::byte* image = image_of_team<Team>(cut);
  const int shift = image_shift(piece);
  for (int i = Team::rank(); 4 * i < shift + bytes + 4; i += Team::kThreads) reinterpret_cast<uint32_t*>(image)[i] = 0;

  const uint32_t largest = largest_magnitude(bucket);
  if (largest >= kNotFinite) {
    bucket.each([&](int at, int, const float(&a)[kGroup]) {
      report_non_finite(
          a, [&](int j) { return begin + at + j; }, report);
    });
  }
  const Choice choice = choose(bucket, kept, largest);

  // Values and positions share words, so all of them are put in as bits.
  const int exponent = ScaledHalf::exponent_for(__uint_as_float(largest));
  const ScaledHalf coding(exponent);
  const BitImage bits{reinterpret_cast<uint32_t*>(image)};
  const unsigned positions_at = 8 * (shift + cut.value_bytes(kept)), width = cut.is_packed12 ? 12 : 16;
  Team::sync();  // the image is all 0
  if (Team::rank() == 0 && cut.is_fp16) bits.put(exponent & 0xff, 8 * shift);
  visit_chosen(
      bucket, choice, kept,
      [&](int at, int place, float& a) {
        if (cut.is_fp16) {
          const uint16_t half = coding.encode(a);
          bits.put(half, 8 * (shift + 1 + 2 * place));
          a -= coding.decode(half);
        } else {
          bits.put(__float_as_uint(a), 8 * (shift + 4 * place));
          a = 0;
        }
        bits.put(at, positions_at + width * place);
      },
      [&](int at, int count, const float(&a)[kGroup]) { run.leave(at, count, a); });
  write_image<Team>(image, piece, bytes);
}

// A block of a payload in shared memory.
struct ReadBlock {
  template <class Team>
  static __device__ ReadBlock by(const std::byte* payload, const Cut& cut, size_t block) {
    const int kept = cut.kept(block);
    const std::byte* piece = payload + cut.block_begin(block);
    std::byte* image = image_of_team<Team>(cut);
    read_image<Team>(piece, cut.block_bytes(kept), image);
    return {.image = image, .at = image_shift(piece), .kept = kept};
  }
  __device__ int exponent() const { return get<int8_t>(image + at); }
  __device__ uint16_t half(int i) const { return get<uint16_t>(image + at + 1 + 2 * i); }
  __device__ uint32_t word(int i) const { return get<uint32_t>(image + at + 4 * i); }
  __device__ int position(const Cut& cut, int i) const {
    const unsigned width = cut.is_packed12 ? 12 : 16;
    return static_cast<int>(
        get_bits(reinterpret_cast<const uint32_t*>(image), 8 * (at + cut.value_bytes(kept)) + uint64_t{width} * i, width));
  }

  const std::byte* image;
  int at, kept;
};

template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads) validate_chunks(const std::byte* payload, Cut cut, DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= cut.count()) return;
  const ReadBlock read = ReadBlock::by<Team>(payload, cut, block);
  const int size = cut.size(block);
  bool bad = cut.is_fp16 && read.exponent() > ScaledHalf::kMostExponent;
  for (int i = Team::rank(); i < read.kept; i += Team::kThreads) {
    bad |= cut.is_fp16 ? (read.half(i) & 0x7fff) > ScaledHalf::kMostMagnitude : !is_finite(__uint_as_float(read.word(i)));
    const int position = read.position(cut, i);
    bad |= position >= size || (i > 0 && read.position(cut, i - 1) >= position);
  }
  if (cut.is_packed12 && read.kept % 2 == 1) bad |= get<uint8_t>(read.image + read.at + cut.block_bytes(read.kept) - 1) >> 4 != 0;
  if (bad) report_fault(report, block);
}

template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads)
    add_chunks(const std::byte* payload, Cut cut, float weight, float* out, const DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= cut.count() || is_faulty(report)) return;
  const ReadBlock read = ReadBlock::by<Team>(payload, cut, block);
  const ScaledHalf coding(cut.is_fp16 ? read.exponent() : 0);
  float* sums = out + cut.begin(block);
  for (int i = Team::rank(); i < read.kept; i += Team::kThreads) {
    const float value = cut.is_fp16 ? coding.decode(read.half(i)) : __uint_as_float(read.word(i));
    sums[read.position(cut, i)] += weight * value;
  }
}

class DeviceTopk final : public DeviceCodec {
 public:
  explicit DeviceTopk(const TopkOnDevice& parameters) : parameters_(parameters) {}
  size_t scratch_bytes(Layer) const override { return 0; }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const Sum sum(in);
    if (layer.elems() == 0) return begin(context, 0);
    const Cut cut = this->cut(layer);
    begin_encode(sum, cut.elems, cut.payload_bytes(), context);
    with_block_team(cut.block_elems, [&]<class Team, int kHeld>() {
      encode_chunks<Team, kHeld>
          <<<grid_for(cut.count(), Team::kPerBlock), Team::kBlockThreads, shared_bytes<Team>(cut), stream_of(context)>>>(sum, cut, out,
                                                                                                                         context.report);
    });
    require_launched("encode_chunks");
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    if (layer.elems() == 0) return begin(context, payload.size(), !payload.empty());
    const Cut cut = this->cut(layer);
    const bool is_refused = payload.size() != cut.payload_bytes();
    begin(context, payload.size(), is_refused);
    if (is_refused) return;
    with_block_team(cut.block_elems, [&]<class Team, int kHeld>() {
      const unsigned grid = grid_for(cut.count(), Team::kPerBlock);
      const size_t shared = shared_bytes<Team>(cut);
      const cudaStream_t stream = stream_of(context);
      validate_chunks<Team><<<grid, Team::kBlockThreads, shared, stream>>>(payload.data(), cut, context.report);
      add_chunks<Team><<<grid, Team::kBlockThreads, shared, stream>>>(payload.data(), cut, weight, out, context.report);
    });
    require_launched("add_chunks");
  }

 private:
  Cut cut(Layer layer) const {
    const size_t elems = static_cast<size_t>(layer.elems()), block = std::min(parameters_.chunk_elems, elems);
    const size_t last = elems % block == 0 ? block : elems % block;
    return {.elems = elems,
            .block_elems = block,
            .first_kept = static_cast<int>(kept_of(parameters_.density, block)),
            .last_kept = static_cast<int>(kept_of(parameters_.density, last)),
            .is_fp16 = parameters_.values == ValueCoding::fp16,
            .is_packed12 = parameters_.indices == IndexCoding::packed12};
  }

  TopkOnDevice parameters_;
};

std::unique_ptr<DeviceCodec> make_topk(const TopkOnDevice& parameters) { return std::make_unique<DeviceTopk>(parameters); }

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_topk() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::TopkOnDevice> maker = thinwire::compressors::make_topk;
  return &maker;
}
