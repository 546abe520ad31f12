// `sparseloco` on a device. A team of threads chooses in a block, as for top-k; the values of all blocks are fitted to bins (fit.cu); then
// a team writes the bits of a block to a slot, and the slots are moved together. A decoder finds where blocks begin (starts.cu), reads each
// by one thread, and adds all values at once.
#include "compressors/device/slots.cuh"
#include "compressors/guards.h"
#include "compressors/sparseloco/fit.cuh"
#include "compressors/sparseloco/starts.cuh"

namespace thinwire::compressors {
namespace {

using namespace device;
using namespace sparseloco;

constexpr int kThreads = 256;

__device__ size_t thread_index() { return size_t{blockIdx.x} * kThreads + threadIdx.x; }

template <class Team, int kHeld>
__global__ void __launch_bounds__(Team::kBlockThreads, Team::kBlocks) choose_values(Sum sum, Shape shape, Kept kept, DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= shape.blocks || sum.stops(report)) return;
  const Tile tile{sum, shape.places(block)};
  const int count = shape.kept(block);
  Bucket<Team, kHeld, Tile> bucket(tile, shape.elems(block));
  const uint32_t largest = largest_magnitude(bucket);
  if (largest >= kNotFinite) {
    bucket.each([&](int at, int, const float(&a)[kGroup]) {
      report_non_finite(
          a, [&](int j) { return tile.place(at + j); }, report);
    });
  }
  const Choice choice = choose(bucket, count, largest);
  float* values = kept.values + shape.first(block);
  uint16_t* positions = kept.positions + shape.first(block);
  visit_chosen(
      bucket, choice, count,
      [&](int at, int place, float a) {
        values[place] = a;
        positions[place] = static_cast<uint16_t>(at);
      },
      [&](int at, int size, const float(&a)[kGroup]) { tile.leave(at, size, a); });
}

// Where there are no more values than bins, value i is level i.
__global__ void __launch_bounds__(kThreads) copy_levels(Kept kept, int count, float* levels, const DeviceReport* report) {
  if (static_cast<int>(threadIdx.x) < count && !is_faulty(report)) levels[threadIdx.x] = kept.values[threadIdx.x];
}

extern __shared__ __align__(16) uint32_t bit_images[];

// The bits of a block: its positions, then its codes. And what its kept values leave.
template <class Team>
__global__ void __launch_bounds__(Team::kBlockThreads)
    write_blocks(Sum sum, Shape shape, Kept kept, const float* levels, Slots slots, const DeviceReport* report) {
  const size_t block = Team::index();
  if (block >= shape.blocks || is_faulty(report)) return;
  const size_t words = slots.stride_bytes / 4;
  const BitImage bits{bit_images + Team::within_block() * words};
  for (size_t i = Team::rank(); i < words; i += Team::kThreads) bits.words[i] = 0;
  Team::sync();

  const int count = shape.kept(block);
  const size_t first = shape.first(block);
  const uint16_t* positions = kept.positions + first;
  const unsigned parameter = shape.rice_parameter(block);
  unsigned at = 0;
  for (int begin = 0; begin < count; begin += Team::kThreads) {
    const int i = begin + Team::rank();
    unsigned gap = 0;
    int length = 0, total = 0;
    if (i < count) {
      gap = positions[i] - (i == 0 ? 0 : positions[i - 1] + 1);
      length = static_cast<int>(shape.is_rice ? (gap >> parameter) + 1 + parameter : kPackedBits);
    }
    const unsigned field_at = at + exclusive_sum<Team>(length, total);
    if (i < count && shape.is_rice) bits.put(1 | (gap & ((1u << parameter) - 1)) << 1, field_at + (gap >> parameter));
    if (i < count && !shape.is_rice) bits.put(positions[i], field_at);
    at += total;
  }
  const Places place = shape.places(block);
  for (int i = Team::rank(); i < count; i += Team::kThreads) {
    const float value = kept.values[first + i];
    float level = value;
    if (shape.is_binned()) {
      const uint8_t code = kept.codes[first + i];
      bits.put(code, at + shape.code_bits * i);
      level = levels[code];
    }
    if (sum.left != nullptr) sum.left[place(positions[i])] = left_of(value, level);
  }
  Team::sync();
  const unsigned length = at + shape.code_bits * count;
  auto* slot = reinterpret_cast<uint32_t*>(slots.at(block));
  for (size_t i = Team::rank(); 32 * i < length; i += Team::kThreads) slot[i] = bits.words[i];
  if (Team::rank() == 0) slots.lengths[block] = length;
}

// The bits of a payload behind its levels.
struct Stream {
  // Of at most 25 bits; 0 behind the end.
  __device__ uint32_t get(uint64_t at, unsigned count) const { return at + count <= bits ? get_bits(words, at, count) : 0; }

  const uint32_t* words;
  uint64_t bits;
};

// Reads a gap and moves on. False where no encoder's gap is, or the stream ends.
__device__ bool read_gap(const Stream& stream, unsigned parameter, uint32_t most, uint64_t& at, uint32_t& gap) {
  uint32_t zeros = 0;
  for (;; zeros += 24) {
    const uint32_t here = at + 24 <= stream.bits ? stream.get(at, 24) : stream.get(at, static_cast<unsigned>(stream.bits - at));
    if (here != 0) {
      const int run = __ffs(static_cast<int>(here)) - 1;
      zeros += run;
      at += run + 1;
      break;
    }
    if (at + 24 >= stream.bits || zeros > most) return false;
    at += 24;
  }
  if (at + parameter > stream.bits || zeros > most >> parameter) return false;
  gap = zeros << parameter | stream.get(at, parameter);
  at += parameter;
  return true;
}

// A thread for each block. Positions ascend within the block; where the last block ends, less than a byte of zeros is left.
__global__ void __launch_bounds__(kThreads)
    read_blocks(Stream stream, Shape shape, const uint32_t* starts, Kept kept, uint8_t* used, DeviceReport* report) {
  const size_t block = thread_index();
  if (block >= shape.blocks) return;
  const int count = shape.kept(block), elems = shape.elems(block);
  uint64_t at = shape.is_rice ? starts[block] : block * shape.packed_bits(shape.first_kept);
  bool good = at <= stream.bits;
  int next = 0;  // the least position that may follow
  for (int i = 0; good && i < count; ++i) {
    uint32_t gap = 0;
    if (shape.is_rice) {
      good = read_gap(stream, shape.rice_parameter(block), static_cast<uint32_t>(elems), at, gap);
    } else {
      const int position = static_cast<int>(stream.get(at, kPackedBits));
      good = at + kPackedBits <= stream.bits && position >= next;
      gap = static_cast<uint32_t>(position - next);
      at += kPackedBits;
    }
    const int position = next + static_cast<int>(gap);
    good = good && position < elems;
    if (good) kept.positions[shape.first(block) + i] = static_cast<uint16_t>(position);
    next = position + 1;
  }
  for (int i = 0; good && shape.is_binned() && i < count; ++i, at += shape.code_bits) {
    good = at + shape.code_bits <= stream.bits;
    const uint8_t code = static_cast<uint8_t>(stream.get(at, shape.code_bits));
    kept.codes[shape.first(block) + i] = code;
    used[code] = 1;
  }
  if (good && shape.is_last(block)) good = stream.bits - at < 8 && stream.get(at, static_cast<unsigned>(stream.bits - at)) == 0;
  if (!good) report_fault(report, block);
}

// Levels are finite; the level of a bin without values is +0.
__global__ void __launch_bounds__(kThreads) validate_levels(const float* levels, Shape shape, const uint8_t* used, DeviceReport* report) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= shape.levels) return;
  const bool is_empty = shape.is_binned() && used[i] == 0;
  if (!is_finite(levels[i]) || (is_empty && __float_as_uint(levels[i]) != 0)) report_fault(report, 0);
}

__global__ void __launch_bounds__(kThreads)
    add_values(const float* levels, Shape shape, Kept kept, float weight, float* out, const DeviceReport* report) {
  const size_t i = thread_index();
  if (i >= shape.values() || is_faulty(report)) return;
  const size_t block = min(i / shape.first_kept, shape.blocks - 1);
  out[shape.places(block)(kept.positions[i])] += weight * levels[shape.is_binned() ? kept.codes[i] : i];
}

class DeviceSparseLoco final : public DeviceCodec {
 public:
  explicit DeviceSparseLoco(const SparseLocoOnDevice& parameters) : parameters_(parameters) {}

  size_t scratch_bytes(Layer layer) const override {
    const Plan plan = parameters_.plan(layer);
    if (plan.kept() == 0) return 0;
    Scratch encoding, decoding;
    Encoding(encoding, plan);
    Decoding(decoding, plan);
    return std::max(encoding.bytes(), decoding.bytes());
  }

  void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const override {
    const Plan plan = parameters_.plan(layer);
    const Sum sum(in);
    if (plan.kept() == 0) return begin(context, 0);
    begin_encode(sum, static_cast<size_t>(layer.elems()), 0, context);
    const Shape shape(plan);
    Scratch scratch(context.scratch);
    const Encoding work(scratch, plan);
    const cudaStream_t stream = stream_of(context);
    with_block_team(plan.share(0).elems, [&]<class Team, int kHeld>() {
      choose_values<Team, kHeld>
          <<<grid_for(shape.blocks, Team::kPerBlock), Team::kBlockThreads, 0, stream>>>(sum, shape, work.kept, context.report);
    });
    require_launched("choose_values");

    auto* levels = reinterpret_cast<float*>(out);
    if (shape.is_binned()) {
      fit_bins_on_device(work.fit, work.kept.values, work.kept.codes, levels, context);
    } else {
      copy_levels<<<1, kThreads, 0, stream>>>(work.kept, shape.levels, levels, context.report);
      require_launched("copy_levels");
    }
    const auto write = [&]<class Team>() {
      write_blocks<Team>
          <<<grid_for(shape.blocks, Team::kPerBlock), Team::kBlockThreads, Team::kPerBlock * work.slots.stride_bytes, stream>>>(
              sum, shape, work.kept, levels, work.slots, context.report);
    };
    shape.first_kept <= 256 ? write.template operator()<Team<32>>() : write.template operator()<Team<256>>();
    require_launched("write_blocks");
    gather(work.slots, plan.header_bytes(), out, context);
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const override {
    const Plan plan = parameters_.plan(layer);
    const bool is_refused = payload.size() < plan.header_bytes() || payload.size() > plan.worst_bytes();
    begin(context, payload.size(), is_refused);
    if (is_refused || plan.kept() == 0) return;
    const Shape shape(plan);
    Scratch scratch(context.scratch);
    const Decoding work(scratch, plan);
    const cudaStream_t on = stream_of(context);
    const auto* levels = reinterpret_cast<const float*>(payload.data());
    const Stream stream{reinterpret_cast<const uint32_t*>(payload.data() + plan.header_bytes()),
                        8 * uint64_t{payload.size() - plan.header_bytes()}};
    if (shape.is_rice) find_starts(shape, stream.words, stream.bits, work.links, work.starts, context);
    cudaMemsetAsync(work.used, 0, kMostBins, on);
    read_blocks<<<grid_for(shape.blocks, kThreads), kThreads, 0, on>>>(stream, shape, work.starts, work.kept, work.used, context.report);
    require_launched("read_blocks");
    validate_levels<<<1, kThreads, 0, on>>>(levels, shape, work.used, context.report);
    require_launched("validate_levels");
    add_values<<<grid_for(shape.values(), kThreads), kThreads, 0, on>>>(levels, shape, work.kept, weight, out, context.report);
    require_launched("add_values");
  }

 private:
  struct Encoding {
    Encoding(Scratch& scratch, const Plan& plan)
        : kept(scratch, plan.kept()), fit(scratch, plan.kept(), plan.levels()), slots(scratch, plan.blocks().count(), slot_bytes(plan)) {}
    // A field at a slot's end may touch the word behind it.
    static size_t slot_bytes(const Plan& plan) {
      return ceil_div(std::max(plan.worst_bits(plan.share(0)), plan.worst_bits(plan.share(plan.blocks().count() - 1))), 8) + 4;
    }

    Kept kept;
    Fit fit;
    Slots slots;
  };
  struct Decoding {
    Decoding(Scratch& scratch, const Plan& plan)
        : kept(scratch, plan.kept()),
          used(scratch.take<uint8_t>(kMostBins)),
          starts(scratch.take<uint32_t>(plan.coding() == PositionCoding::rice ? plan.blocks().count() : 0)),
          links(scratch, plan.coding() == PositionCoding::rice ? 8 * plan.worst_bytes() : 0) {}

    Kept kept;
    uint8_t* used;
    uint32_t* starts;
    Links links;
  };

  SparseLocoOnDevice parameters_;
};

std::unique_ptr<DeviceCodec> make_sparseloco(const SparseLocoOnDevice& parameters) {
  return std::make_unique<DeviceSparseLoco>(parameters);
}

}  // namespace
}  // namespace thinwire::compressors

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_sparseloco() {
  static constexpr thinwire::compressors::DeviceMaker<thinwire::compressors::SparseLocoOnDevice> maker =
      thinwire::compressors::make_sparseloco;
  return &maker;
}
