#include "compressors/quantize/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "base/check.h"
#include "compressors/dense_kernels.h"
#include "compressors/entropy/entropy_coded.h"
#include "compressors/guards.h"
#include "compressors/quantize/device.h"
#include "compressors/quantize/kernels.h"
#include "compressors/quantize/levels.h"

namespace thinwire::compressors {
namespace {

namespace kernels = quantize_kernels;

constexpr int64_t kMostBucketElems = 65536;

struct Workspace {
  Workspace(MutableBytes scratch, size_t bucket_elems) {
    check(scratch.size() >= bytes(bucket_elems), "Context::scratch has traits().scratch_bytes");
    std::byte* at = scratch.data();
    a = {reinterpret_cast<float*>(at), bucket_elems};
    draws = {reinterpret_cast<uint16_t*>(at + a.size_bytes()), bucket_elems};
    levels = {reinterpret_cast<uint8_t*>(at + a.size_bytes() + draws.size_bytes()), bucket_elems};
  }
  static size_t bytes(size_t bucket_elems) { return bucket_elems * (sizeof(float) + sizeof(uint16_t) + sizeof(uint8_t)); }

  std::span<float> a;
  std::span<uint16_t> draws;
  std::span<uint8_t> levels;
};

void pack(std::span<const uint8_t> levels, int bits, std::byte* out) {
  return bits == 4 ? kernels::pack_levels4(levels, out) : pack_levels(levels, bits, out);
}
bool unpack(const std::byte* packed, int bits, std::span<uint8_t> levels) {
  return bits == 4 ? kernels::unpack_levels4(packed, levels) : unpack_levels(packed, bits, levels);
}

bool is_negative_zero(float value) { return value == 0 && std::signbit(value); }

}  // namespace

void describe(config::Section& section, QuantizeOptions& options) {
  section.integer("bits", options.bits, {1, 8}, "bits of an element; scheme qsgd needs 2");
  section.integer("bucket", options.bucket, {8, kMostBucketElems}, "elements that share a scale, a multiple of 8");
  section.choice("scheme", options.scheme, {"minmax", "qsgd"}, "levels between the least and the largest element, or up to the L2 norm");
  section.choice("rounding", options.rounding, {"nearest", "stochastic"}, "to the nearest level, or up or down at random without bias");
  section.rule("bits", [&options]() -> std::optional<std::string> {
    if (options.scheme != "qsgd" || options.bits >= 2) return std::nullopt;
    return "bits must be at least 2 for scheme qsgd: one of them is the sign";
  });
  section.rule("bucket", [&options]() -> std::optional<std::string> {
    if (options.bucket % 8 == 0) return std::nullopt;
    return "bucket must be a multiple of 8: buckets fill whole bytes at any number of bits";
  });
  describe_entropy(section, options.entropy);
}

QuantizeCodec::QuantizeCodec(const QuantizeOptions& options)
    : bits_(static_cast<int>(options.bits)),
      bucket_elems_(static_cast<size_t>(options.bucket)),
      scheme_(options.scheme == "qsgd" ? Scheme::qsgd : Scheme::minmax),
      rounding_(options.rounding == "stochastic" ? Rounding::stochastic : Rounding::nearest) {
  check(bits_ >= (scheme_ == Scheme::qsgd ? 2 : 1) && bits_ <= 8, "bits were validated by the config");
  check(bucket_elems_ > 0 && bucket_elems_ % 8 == 0 && options.bucket <= kMostBucketElems, "a bucket was validated by the config");
}

size_t QuantizeCodec::header_bytes() const { return scheme_ == Scheme::minmax ? 8 : 4; }

size_t QuantizeCodec::block_bytes(size_t bucket_elems) const { return header_bytes() + packed_levels_bytes(bucket_elems, bits_); }

size_t QuantizeCodec::payload_bytes(size_t elems) const {
  const size_t rest = elems % bucket_elems_;
  return elems / bucket_elems_ * block_bytes(bucket_elems_) + (rest == 0 ? 0 : block_bytes(rest));
}

double QuantizeCodec::relative_error(size_t bucket_elems) const {
  const double elems = static_cast<double>(bucket_elems), stretch = rounding_ == Rounding::nearest ? 1 : 4;
  const double rounding = 0x1p-40 * elems;
  if (scheme_ == Scheme::minmax) {
    const double top = (1 << bits_) - 1;
    return (1 + 0x1p-6) * stretch * std::max(elems - 2, 0.0) / (2 * top * top) + rounding;
  }
  const double most = (1 << (bits_ - 1)) - 1;
  const double error = (1 + 0x1p-6) * stretch * elems / (4 * most * most) + rounding;
  return rounding_ == Rounding::nearest ? std::min(error, 1.0) : error;
}

Traits QuantizeCodec::traits(Layer layer) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  return {.combine = Combine::reencode,
          .worst_bytes = payload_bytes(elems),
          .exact_bytes = payload_bytes(elems),
          .scratch_bytes = Workspace::bytes(bucket_elems_),
          .split_elems = bucket_elems_,
          .delta = 1 - relative_error(std::min(elems, bucket_elems_)),  // grows with the bucket: a shorter last one is no worse
          .error_floor = 0x1p-146};
}

Grid QuantizeCodec::write_header(std::span<const float> a, std::byte* out) const {
  if (scheme_ == Scheme::minmax) {
    const auto [min, max] = kernels::ends_of(a);
    store_le(out, min);
    store_le(out + 4, max);
  } else {
    const double norm = std::sqrt(dense_kernels::square_sum(a));
    store_le(out, static_cast<float>(std::min<double>(norm, std::numeric_limits<float>::max())));
  }
  return read_header(out);
}

Grid QuantizeCodec::read_header(const std::byte* block) const {
  if (scheme_ == Scheme::minmax) return Grid::between(load_le<float>(block), load_le<float>(block + 4), bits_);
  return Grid::around_zero(load_le<float>(block), bits_);
}

// What is wrong with a bucket's block, or nothing. Uses `levels` as room for its levels.
const char* QuantizeCodec::fault(const std::byte* block, std::span<uint8_t> levels) const {
  for (size_t at = 0; at < header_bytes(); at += 4) {
    const float value = load_le<float>(block + at);
    if (!std::isfinite(value)) return "scale is not finite";
    if (is_negative_zero(value)) return "scale is -0";
  }
  const Grid grid = read_header(block);
  if (grid.unit < 0) return scheme_ == Scheme::minmax ? "min is above max" : "scale is below 0";
  const bool has_padding = levels.size() * static_cast<size_t>(bits_) % 8 != 0;
  if (scheme_ == Scheme::minmax && grid.unit > 0 && !has_padding) return nullptr;  // every level means something

  if (!unpack(block + header_bytes(), bits_, levels)) return "padding is not 0";
  const auto [least, most] = std::ranges::minmax(levels);
  if (grid.unit == 0 && (least != grid.zero || most != grid.zero)) return "levels differ where all values are equal";
  if (scheme_ == Scheme::qsgd && most > 2 * grid.zero) return "level is out of range";
  return nullptr;
}

size_t QuantizeCodec::encode(Layer layer, In in, Context& context, std::byte* out) const {
  require_finite(layer, in);
  const Workspace work(context.scratch, bucket_elems_);
  const Draw draw = context.own.fork(layer.id);
  const size_t elems = static_cast<size_t>(layer.elems());
  std::byte* at = out;
  for (size_t begin = 0; begin < elems; begin += bucket_elems_) {
    const size_t count = std::min(bucket_elems_, elems - begin);
    const auto a = work.a.first(count);
    accumulate(in, begin, a);
    const Grid grid = write_header(a, at);

    const auto draws = work.draws.first(rounding_ == Rounding::stochastic ? count : 0);
    kernels::draw_bits(draw, begin, draws);
    const auto levels = work.levels.first(count);
    kernels::quantize(grid, draws, a, levels, in.residual == nullptr ? nullptr : in.residual + begin);
    pack(levels, bits_, at + header_bytes());
    at += block_bytes(count);
  }
  return static_cast<size_t>(at - out);
}

void QuantizeCodec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  require_length(name(), layer, payload, payload_bytes(elems));
  const Workspace work(context.scratch, bucket_elems_);
  const auto for_each_block = [&](auto&& visit) {
    const std::byte* at = payload.data();
    for (size_t begin = 0; begin < elems; begin += bucket_elems_) {
      const auto levels = work.levels.first(std::min(bucket_elems_, elems - begin));
      visit(at, begin, levels);
      at += block_bytes(levels.size());
    }
  };

  for_each_block([&](const std::byte* block, size_t begin, std::span<uint8_t> levels) {
    if (const char* what = fault(block, levels)) {
      corrupt_payload(name(), layer, "bucket " + std::to_string(begin / bucket_elems_) + ": " + what);
    }
  });
  for_each_block([&](const std::byte* block, size_t begin, std::span<uint8_t> levels) {
    check(unpack(block + header_bytes(), bits_, levels), "the block was validated");
    kernels::add_values(read_header(block), levels, weight, out + begin);
  });
}

std::unique_ptr<DeviceCodec> QuantizeCodec::on_device() const {
  return make_on_device("quantize", QuantizeOnDevice{.bits = bits_,
                                                     .bucket_elems = bucket_elems_,
                                                     .is_qsgd = scheme_ == Scheme::qsgd,
                                                     .is_stochastic = rounding_ == Rounding::stochastic});
}

}  // namespace thinwire::compressors
