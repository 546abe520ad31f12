#include "compressors/entropy/entropy_coded.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "compressors/entropy/rans.h"
#include "compressors/guards.h"

namespace thinwire::compressors {
namespace {

constexpr std::byte kRaw{0}, kRans{1};
constexpr size_t kRansHeaderBytes = 1 + sizeof(uint32_t);

size_t aligned(size_t num_bytes) { return (num_bytes + 63) / 64 * 64; }

// The inner codec's scratch, an inner payload, and the payload around it.
struct Workspace {
  Workspace(const Traits& inner, Context& context) : inner_context(context) {
    check(context.scratch.size() >= bytes(inner), "Context::scratch has traits().scratch_bytes");
    ByteWriter parts(context.scratch);
    inner_context.scratch = parts.take(aligned(inner.scratch_bytes)).first(inner.scratch_bytes);
    inner_payload = parts.take(inner.worst_bytes);
    packed = parts.take(packed_bytes(inner));
  }
  static size_t packed_bytes(const Traits& inner) { return kRansHeaderBytes + rans::room_bytes(inner.worst_bytes); }
  static size_t bytes(const Traits& inner) { return aligned(inner.scratch_bytes) + inner.worst_bytes + packed_bytes(inner); }

  Context inner_context;
  MutableBytes inner_payload, packed;
};

// The one payload for this inner payload, in `room`.
ConstBytes pack(ConstBytes inner, MutableBytes room) {
  room[0] = kRans;
  store_le(room.data() + 1, static_cast<uint32_t>(inner.size()));
  const size_t coded = kRansHeaderBytes + rans::encode(inner, room.subspan(kRansHeaderBytes));
  if (coded < 1 + inner.size()) return room.first(coded);
  room[0] = kRaw;
  std::ranges::copy(inner, room.begin() + 1);
  return room.first(1 + inner.size());
}

// The inner payload, in the payload or in `room`; nothing where the payload is corrupt. Not empty: no codec sends nothing for something.
ConstBytes unpack(ConstBytes payload, MutableBytes room) {
  if (payload.empty() || payload.size() > 1 + room.size()) return {};
  if (payload[0] == kRaw) return payload.subspan(1);
  if (payload[0] != kRans || payload.size() < kRansHeaderBytes) return {};
  const size_t inner_bytes = load_le<uint32_t>(payload.data() + 1);
  if (inner_bytes > room.size()) return {};
  return rans::decode(payload.subspan(kRansHeaderBytes), room.first(inner_bytes)) ? room.first(inner_bytes) : ConstBytes();
}

}  // namespace

Traits EntropyCoded::traits(Layer layer) const {
  const Traits inner = inner_->traits(layer);
  check(inner.worst_bytes <= std::numeric_limits<uint32_t>::max(), "a payload's length fits 32 bits");
  Traits traits = inner;
  traits.worst_bytes = inner.worst_bytes == 0 ? 0 : 1 + inner.worst_bytes;
  traits.exact_bytes.reset();
  traits.scratch_bytes = Workspace::bytes(inner);
  return traits;
}

size_t EntropyCoded::encode(Layer layer, In in, Context& context, std::byte* out) const {
  const Workspace work(inner_->traits(layer), context);
  Context inner_context = work.inner_context;
  const size_t inner_bytes = inner_->encode(layer, in, inner_context, work.inner_payload.data());
  if (inner_bytes == 0) return 0;
  const ConstBytes packed = pack(work.inner_payload.first(inner_bytes), work.packed);
  std::ranges::copy(packed, out);
  return packed.size();
}

void EntropyCoded::decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const {
  const Traits inner = inner_->traits(layer);
  if (inner.worst_bytes == 0) return require_length(name(), layer, payload, 0);
  const Workspace work(inner, context);
  const ConstBytes inner_payload = unpack(payload, work.inner_payload);
  if (inner_payload.empty()) corrupt_payload(name(), layer, "entropy coding is corrupt");
  if (!std::ranges::equal(pack(inner_payload, work.packed), payload))
    corrupt_payload(name(), layer, "entropy coding is not the one encoding");
  Context inner_context = work.inner_context;
  inner_->decode_add(layer, inner_payload, weight, out, inner_context);
}

void describe_entropy(config::Section& section, std::string& entropy) {
  section.choice("entropy", entropy, {"none", "rans"}, "payloads pass through rANS, where that makes them shorter");
}

}  // namespace thinwire::compressors
