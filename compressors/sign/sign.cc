#include "compressors/sign/sign.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "compressors/guards.h"
#include "compressors/sign/device.h"
#include "compressors/sign/kernels.h"

namespace thinwire::compressors {
namespace {

constexpr int64_t kMostBlockElems = 65536;

constexpr size_t bits_bytes(size_t elems) { return (elems + 7) / 8; }

// A block on the wire: the scale, whose sign bit, which a magnitude does not need, says that zero bits follow; these; the sign bits.
struct CodedBlock {
  size_t bytes() const {
    const size_t fields = (scale > 0 ? 1 : 0) + (zeros != nullptr ? 1 : 0);
    return sizeof(float) + fields * bits_bytes(elems);
  }

  size_t elems = 0;
  float scale = 0;
  const std::byte* zeros = nullptr;
  const std::byte* signs = nullptr;
};

size_t worst_bytes(size_t elems, size_t block_elems) {
  const auto block = [](size_t len) { return sizeof(float) + 2 * bits_bytes(len); };
  const size_t rest = elems % block_elems;
  return elems / block_elems * block(block_elems) + (rest == 0 ? 0 : block(rest));
}

// Writes the block of `a`, turns `a` into its residual and returns the bytes written.
size_t encode_block(std::span<float> a, std::byte* out) {
  const auto [sum, nonzero] = sign_kernels::magnitudes_of(a);
  if (nonzero == 0) {
    store_le(out, 0.0f);
    return sizeof(float);
  }
  const float scale = static_cast<float>(sum / static_cast<double>(nonzero));
  const bool has_zeros = nonzero < a.size();
  store_le(out, has_zeros ? -scale : scale);
  std::byte* at = out + sizeof(float);
  if (has_zeros) {
    sign_kernels::zero_bits(a, at);
    at += bits_bytes(a.size());
  }
  sign_kernels::sign_bits(scale, a, at);
  return static_cast<size_t>(at - out) + bits_bytes(a.size());
}

bool padding_is_zero(const std::byte* bits, size_t elems) { return elems % 8 == 0 || (bits[elems / 8] >> (elems % 8)) == std::byte{0}; }

// What is wrong with the bits of a block, or nothing.
const char* fault(const CodedBlock& block) {
  if (block.scale == 0) return nullptr;
  if (!padding_is_zero(block.signs, block.elems)) return "padding is not 0";
  if (block.zeros == nullptr) return nullptr;
  if (!padding_is_zero(block.zeros, block.elems)) return "padding is not 0";
  size_t zeros = 0;
  for (size_t i = 0; i < bits_bytes(block.elems); ++i) {
    zeros += static_cast<size_t>(std::popcount(std::to_integer<uint8_t>(block.zeros[i])));
    if ((block.zeros[i] & block.signs[i]) != std::byte{0}) return "a zero has a sign";
  }
  if (zeros == 0) return "zeros are announced, but there are none";
  if (zeros == block.elems) return "all are zero, but there is a scale";
  return nullptr;
}

// Takes the next block of `rest` apart. What is wrong with it, or nothing.
const char* read_block(ConstBytes& rest, size_t elems, CodedBlock& block) {
  if (rest.size() < sizeof(float)) return "payload ends within the scale";
  const float scale = load_le<float>(rest.data());
  if (!std::isfinite(scale)) return "scale is not finite";
  if (scale == 0 && std::signbit(scale)) return "scale is -0";
  block = {.elems = elems, .scale = std::fabs(scale)};
  const std::byte* at = rest.data() + sizeof scale;
  if (scale < 0) {
    block.zeros = at;
    at += bits_bytes(elems);
  }
  block.signs = at;
  if (rest.size() < block.bytes()) return "payload ends within the bits";
  rest = rest.subspan(block.bytes());
  return fault(block);
}

}  // namespace

void describe(config::Section& section, SignOptions& options) {
  section.integer("block", options.block, {8, kMostBlockElems}, "elements that share a magnitude, a multiple of 8");
  section.rule("block", [&options]() -> std::optional<std::string> {
    if (options.block % 8 == 0) return std::nullopt;
    return "block must be a multiple of 8: blocks fill whole bytes";
  });
}

SignCodec::SignCodec(const SignOptions& options) : block_elems_(static_cast<size_t>(options.block)) {
  check(options.block >= 8 && options.block <= kMostBlockElems && options.block % 8 == 0, "a block was validated by the config");
}

Traits SignCodec::traits(Layer layer) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  return {.combine = Combine::reencode,
          .worst_bytes = worst_bytes(elems, block_elems_),
          .exact_bytes = {},
          .scratch_bytes = block_elems_ * sizeof(float),
          .split_elems = block_elems_,
          .delta = (1 - 0x1p-40) / static_cast<double>(std::clamp<size_t>(elems, 1, block_elems_)),
          .error_floor = 0x1p-150};
}

size_t SignCodec::encode(Layer layer, In in, Context& context, std::byte* out) const {
  require_finite(layer, in);
  check(context.scratch.size() >= block_elems_ * sizeof(float), "Context::scratch has traits().scratch_bytes");
  const std::span<float> room(reinterpret_cast<float*>(context.scratch.data()), block_elems_);
  const size_t elems = static_cast<size_t>(layer.elems());
  std::byte* at = out;
  for (size_t begin = 0; begin < elems; begin += block_elems_) {
    const auto a = room.first(std::min(block_elems_, elems - begin));
    accumulate(in, begin, a);
    at += encode_block(a, at);
    if (in.residual != nullptr) std::ranges::copy(a, in.residual + begin);
  }
  return static_cast<size_t>(at - out);
}

void SignCodec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context&) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  const auto for_each_block = [&](auto&& visit) {
    ConstBytes rest = payload;
    for (size_t begin = 0; begin < elems; begin += block_elems_) {
      CodedBlock block;
      const char* what = read_block(rest, std::min(block_elems_, elems - begin), block);
      visit(block, begin, what);
    }
    return rest.size();
  };

  const size_t surplus_bytes = for_each_block([&](const CodedBlock&, size_t begin, const char* what) {
    if (what != nullptr) corrupt_payload(name(), layer, "block " + std::to_string(begin / block_elems_) + ": " + what);
  });
  if (surplus_bytes > 0) corrupt_payload(name(), layer, std::to_string(surplus_bytes) + " bytes follow the last block");
  for_each_block([&](const CodedBlock& block, size_t begin, const char*) {
    if (block.scale > 0) sign_kernels::add_values(block.scale, block.signs, block.zeros, weight, {out + begin, block.elems});
  });
}

std::unique_ptr<DeviceCodec> SignCodec::on_device() const { return make_on_device("sign", SignOnDevice{block_elems_}); }

}  // namespace thinwire::compressors
