#include "compressors/cast/fp16.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "compressors/cast/cast_codec.h"
#include "compressors/guards.h"
#include "compressors/values/value_coding.h"

namespace thinwire::compressors {
namespace {

constexpr ValueCoding kCoding = ValueCoding::fp16;

size_t block_bytes(size_t elems) { return value_bytes(kCoding, elems); }

size_t payload_bytes(size_t elems) {
  const size_t rest = elems % Fp16Codec::kBlockElems;
  return elems / Fp16Codec::kBlockElems * block_bytes(Fp16Codec::kBlockElems) + (rest == 0 ? 0 : block_bytes(rest));
}

std::span<float> room_for_block(Context& context) {
  constexpr size_t kElems = Fp16Codec::kBlockElems;
  check(context.scratch.size() >= kElems * sizeof(float), "Context::scratch has traits().scratch_bytes");
  return {reinterpret_cast<float*>(context.scratch.data()), kElems};
}

}  // namespace

Traits Fp16Codec::traits(Layer layer) const {
  const size_t bytes = payload_bytes(static_cast<size_t>(layer.elems()));
  return {.combine = Combine::reencode,
          .worst_bytes = bytes,
          .exact_bytes = bytes,
          .scratch_bytes = kBlockElems * sizeof(float),
          .split_elems = kBlockElems,
          .delta = 1 - 0x1p-21,
          .error_floor = 0};
}

size_t Fp16Codec::encode(Layer layer, In in, Context& context, std::byte* out) const {
  require_finite(layer, in);
  const std::span<float> room = room_for_block(context);
  const size_t elems = static_cast<size_t>(layer.elems());
  std::byte* at = out;
  for (size_t begin = 0; begin < elems; begin += kBlockElems) {
    const auto a = room.first(std::min(kBlockElems, elems - begin));
    accumulate(in, begin, a);
    encode_values(kCoding, a, at);
    at += block_bytes(a.size());
    if (in.residual != nullptr) std::ranges::copy(a, in.residual + begin);
  }
  return static_cast<size_t>(at - out);
}

void Fp16Codec::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const {
  const size_t elems = static_cast<size_t>(layer.elems());
  require_length(name(), layer, payload, payload_bytes(elems));
  const auto for_each_block = [&](auto&& visit) {
    for (size_t begin = 0; begin < elems; begin += kBlockElems) {
      const size_t count = std::min(kBlockElems, elems - begin);
      visit(payload.subspan(begin / kBlockElems * block_bytes(kBlockElems), block_bytes(count)), begin, count);
    }
  };

  for_each_block([&](ConstBytes block, size_t begin, size_t) {
    if (const char* what = fault_in_values(kCoding, block)) {
      corrupt_payload(name(), layer, "block " + std::to_string(begin / kBlockElems) + ": " + what);
    }
  });
  const std::span<float> room = room_for_block(context);
  for_each_block([&](ConstBytes block, size_t begin, size_t count) {
    const auto values = room.first(count);
    decode_values(kCoding, block.data(), values);
    for (size_t i = 0; i < count; ++i) out[begin + i] += weight * values[i];
  });
}

std::unique_ptr<DeviceCodec> Fp16Codec::on_device() const { return make_on_device("fp16", CastOnDevice()); }

}  // namespace thinwire::compressors
