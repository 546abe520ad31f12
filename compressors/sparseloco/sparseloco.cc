#include "compressors/sparseloco/sparseloco.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "compressors/entropy/entropy_coded.h"
#include "compressors/guards.h"
#include "compressors/sparseloco/bins.h"
#include "compressors/sparseloco/device.h"
#include "compressors/topk/kernels.h"

namespace thinwire::compressors {
namespace {

using sparseloco::kPackedBits;
using sparseloco::Plan;
using sparseloco::PositionCoding;
using sparseloco::Share;

// One block, and what is kept of all of them.
struct Workspace {
  Workspace(MutableBytes scratch, size_t kept) {
    check(scratch.size() >= bytes(kept), "Context::scratch has traits().scratch_bytes");
    ByteWriter parts(scratch);
    a = take<float>(parts, kBlockElems);
    magnitudes = take<uint32_t>(parts, kBlockElems + topk_kernels::kSlackElems);
    values = take<float>(parts, kept);
    positions = take<uint16_t>(parts, kept);
    codes = take<uint8_t>(parts, kept);
  }
  static size_t bytes(size_t kept) {
    return (2 * kBlockElems + topk_kernels::kSlackElems) * sizeof(float) + kept * (sizeof(float) + sizeof(uint16_t) + sizeof(uint8_t));
  }

  template <class T>
  static std::span<T> take(ByteWriter& parts, size_t count) {
    return {reinterpret_cast<T*>(parts.take(count * sizeof(T)).data()), count};
  }

  std::span<float> a;
  std::span<uint32_t> magnitudes;
  std::span<float> values;
  std::span<uint16_t> positions;
  std::span<uint8_t> codes;
};

// Where in the layer a block's element is.
class Places {
 public:
  Places(const Block& block, size_t stride) : block_(block), stride_(stride) {}
  size_t operator()(uint16_t position) const {
    if (block_.height == 1) return block_.begin + position;
    const uint32_t width = static_cast<uint32_t>(block_.width);
    return block_.begin + position / width * stride_ + position % width;
  }

 private:
  Block block_;
  size_t stride_;
};

// Forms a, block by block; keeps the largest, with their positions, and leaves a in the residual.
void choose(const Plan& plan, const In& in, const Workspace& work) {
  plan.for_each_block([&](const Block& block, const Share& share, size_t first) {
    const auto a = work.a.first(share.elems);
    for (size_t row = 0; row < block.height; ++row) {
      const size_t begin = block.begin + row * plan.blocks().stride();
      const auto part = a.subspan(row * block.width, block.width);
      accumulate(in, begin, part);
      if (in.residual != nullptr) std::ranges::copy(part, in.residual + begin);
    }
    const auto positions = work.positions.subspan(first, share.kept);
    topk_kernels::select_largest(a, share.kept, work.magnitudes.data(), positions.data());
    std::ranges::transform(positions, work.values.begin() + static_cast<std::ptrdiff_t>(first), [&](uint16_t at) { return a[at]; });
    return true;
  });
}

void write_positions(const Plan& plan, const Share& share, std::span<const uint16_t> positions, BitWriter& out) {
  if (plan.coding() == PositionCoding::rice) return rice::encode(positions, share.rice_parameter, out);
  for (const uint16_t position : positions) out.put(position, kPackedBits);
}

// Strictly ascending and below share.elems, or false.
bool read_positions(const Plan& plan, const Share& share, BitReader& in, std::span<uint16_t> positions) {
  if (plan.coding() == PositionCoding::rice) return rice::decode(in, share.rice_parameter, share.elems, positions);
  for (uint16_t& position : positions) {
    position = static_cast<uint16_t>(in.window() & (kBlockElems - 1));
    in.skip(kPackedBits);
  }
  return std::ranges::adjacent_find(positions, std::greater_equal()) == positions.end() && positions.back() < share.elems;
}

bool read_stream(const Plan& plan, BitReader& in, const Workspace& work) {
  const uint64_t mask = (uint64_t{1} << plan.code_bits()) - 1;
  return plan.for_each_block([&](const Block&, const Share& share, size_t first) {
    if (!read_positions(plan, share, in, work.positions.subspan(first, share.kept))) return false;
    if (!plan.binned()) return true;
    for (uint8_t& code : work.codes.subspan(first, share.kept)) {
      code = static_cast<uint8_t>(in.window() & mask);
      in.skip(plan.code_bits());
    }
    return in.ok();
  });
}

// What is wrong with the header, or nothing. The level of a bin without values is +0: it means nothing, so it has one form.
const char* fault(const Plan& plan, std::span<const float> levels, std::span<const uint8_t> codes) {
  if (!std::ranges::all_of(levels, [](float level) { return std::isfinite(level); })) return "a level is not finite";
  if (!plan.binned()) return nullptr;
  std::array<bool, 256> used{};
  for (const uint8_t code : codes) used[code] = true;
  for (size_t i = 0; i < levels.size(); ++i) {
    if (!used[i] && std::bit_cast<uint32_t>(levels[i]) != 0) return "the level of an empty bin is not 0";
  }
  return nullptr;
}

// Where there are no more values than bins, value i is level i.
void number_levels(std::span<uint8_t> codes) { std::iota(codes.begin(), codes.end(), uint8_t{0}); }

}  // namespace

void describe(config::Section& section, SparseLocoOptions& options) {
  section.integer("k", options.k, {1, static_cast<int64_t>(kBlockElems)},
                  "elements that a block of 4096 sends; smaller blocks send their share");
  section.integer("bits", options.bits, {2, 8}, "bits of a value: each tensor has 2^bits of them");
  section.choice("vectors", options.vectors, {"4096", "divisor"},
                 "1-D tensors in chunks of 4096 (the paper) or of their largest divisor up to 64 (its code)");
  section.choice("index_coding", options.index_coding, {"rice", "packed12"}, "how positions travel: Rice-coded gaps, or 12 bits each");
  describe_entropy(section, options.entropy);
}

SparseLocoCodec::SparseLocoCodec(const SparseLocoOptions& options)
    : k_(static_cast<size_t>(options.k)),
      bits_(static_cast<unsigned>(options.bits)),
      vectors_(options.vectors == "4096" ? Blocks::Vectors::chunks_of_4096 : Blocks::Vectors::divisor_up_to_64),
      coding_(options.index_coding == "rice" ? PositionCoding::rice : PositionCoding::packed12) {
  check(options.k >= 1 && k_ <= kBlockElems, "k was validated by the config");
  check(options.bits >= 2 && options.bits <= 8, "bits were validated by the config");
}

Traits SparseLocoCodec::traits(Layer layer) const {
  const Plan plan = this->plan(layer);
  const bool fixed = coding_ == PositionCoding::packed12;
  return {.combine = Combine::gather,
          .worst_bytes = plan.worst_bytes(),
          .exact_bytes = fixed ? std::optional(plan.worst_bytes()) : std::nullopt,
          .scratch_bytes = Workspace::bytes(plan.kept()),
          .split_elems = 0,  // the bins are fitted to the whole tensor
          .delta = plan.binned() ? 0 : plan.worst_share_kept(),
          .error_floor = 0};
}

size_t SparseLocoCodec::encode(Layer layer, In in, Context& context, std::byte* out) const {
  require_finite(layer, in);
  const Plan plan = this->plan(layer);
  if (plan.kept() == 0) return 0;
  const Workspace work(context.scratch, plan.kept());
  choose(plan, in, work);

  std::array<float, 256> table;
  const auto levels = std::span(table).first(plan.levels());
  if (plan.binned()) {
    fit_bins(work.values, levels, work.codes);
  } else {
    std::ranges::copy(work.values, levels.begin());
    number_levels(work.codes);
  }

  std::ranges::copy(std::as_bytes(levels), out);
  BitWriter writer(out + plan.header_bytes());
  plan.for_each_block([&](const Block& block, const Share& share, size_t first) {
    const auto positions = work.positions.subspan(first, share.kept);
    const auto codes = work.codes.subspan(first, share.kept);
    write_positions(plan, share, positions, writer);
    if (plan.binned()) {
      for (const uint8_t code : codes) writer.put(code, plan.code_bits());
    }
    if (in.residual == nullptr) return true;
    const Places place(block, plan.blocks().stride());
    for (size_t i = 0; i < share.kept; ++i) {
      float& a = in.residual[place(positions[i])];
      a = left_of(a, levels[codes[i]]);
    }
    return true;
  });
  return static_cast<size_t>(writer.finish() - out);
}

void SparseLocoCodec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const {
  const Plan plan = this->plan(layer);
  if (plan.kept() == 0 || coding_ == PositionCoding::packed12) require_length(name(), layer, payload, plan.worst_bytes());
  if (plan.kept() == 0) return;
  if (payload.size() < plan.header_bytes()) corrupt_payload(name(), layer, "ends within its levels");
  const Workspace work(context.scratch, plan.kept());

  std::array<float, 256> table;
  const auto levels = std::span(table).first(plan.levels());
  std::ranges::copy(payload.first(plan.header_bytes()), std::as_writable_bytes(levels).begin());
  BitReader reader(payload.subspan(plan.header_bytes()));
  if (!plan.binned()) number_levels(work.codes);
  if (!read_stream(plan, reader, work)) corrupt_payload(name(), layer, "a position is out of range or order, or the bits end too soon");
  if (!reader.padded_with_zeros()) corrupt_payload(name(), layer, "padding is not 0");
  if (plan.header_bytes() + reader.used_bytes() != payload.size()) corrupt_payload(name(), layer, "has bytes to spare");
  if (const char* what = fault(plan, levels, work.codes)) corrupt_payload(name(), layer, what);

  for (float& level : levels) level *= weight;
  plan.for_each_block([&](const Block& block, const Share& share, size_t first) {
    const Places place(block, plan.blocks().stride());
    for (size_t i = first; i < first + share.kept; ++i) out[place(work.positions[i])] += levels[work.codes[i]];
    return true;
  });
}

std::unique_ptr<DeviceCodec> SparseLocoCodec::on_device() const {
  constexpr size_t kMostRice = 256;
  if (coding_ == PositionCoding::rice && k_ > kMostRice) return nullptr;
  return make_on_device("sparseloco", SparseLocoOnDevice{.vectors = vectors_, .k = k_, .bits = bits_, .coding = coding_});
}

}  // namespace thinwire::compressors
