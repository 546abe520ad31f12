#include "exchange/bucket_round.h"

#include <chrono>
#include <cmath>
#include <memory>

#include "base/text.h"

namespace thinwire::exchange {

using comm::owned_slice;
using comm::Slice;
using compressors::In;
using compressors::kFrameHeaderBytes;
using compressors::Layer;

namespace {
constexpr uint16_t kContribution = 0, kCombined = 1;

Layer flat_layer(uint32_t id, size_t elems) { return {id, 1, static_cast<int64_t>(elems)}; }

MutableBytes sized(std::vector<std::byte>& buffer, size_t num_bytes) {
  if (buffer.size() < num_bytes) buffer.resize(num_bytes);
  return std::span(buffer).first(num_bytes);
}

// What a codec is promised of its scratch (compressors/codec.h).
MutableBytes sized_scratch(std::vector<std::byte>& buffer, size_t num_bytes) {
  constexpr size_t kAlignment = 64;
  const MutableBytes whole = sized(buffer, num_bytes + kAlignment - 1);
  void* begin = whole.data();
  size_t room = whole.size();
  check(std::align(kAlignment, num_bytes, begin, room) != nullptr, "the buffer has room for the alignment");
  return {static_cast<std::byte*>(begin), num_bytes};
}

class Stopwatch {
 public:
  explicit Stopwatch(double& total_s) : total_s_(total_s) {}
  ~Stopwatch() { total_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  double& total_s_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};
}  // namespace

Exchange::BucketRound::BucketRound(const SlotTable& table, uint32_t bucket, int num_ranks, std::shared_ptr<const compressors::Codec> dense,
                                   uint64_t seed)
    : table_(table),
      bucket_index_(bucket),
      bucket_(table.buckets()[bucket]),
      dense_(std::move(dense)),
      seed_(seed),
      outgoing_(static_cast<size_t>(num_ranks)),
      incoming_(static_cast<size_t>(num_ranks)) {}

void Exchange::BucketRound::run(comm::Wire& wire, const RoundInfo& info, std::span<float> values, ErrorFeedback* feedback) {
  info_ = info;
  codec_ = info.dense ? dense_.get() : bucket_.codec.get();
  encode_s_ = 0;
  const Draw shared = Draw(seed_).fork("codec").fork(info.step).fork(bucket_index_);
  context_.shared = shared;
  context_.own = shared.fork("rank").fork(static_cast<uint64_t>(wire.rank()));
  const bool sums = codec_->traits(flat_layer(0, bucket_.elems)).combine == compressors::Combine::sum;
  sums ? sum(wire, values, feedback) : gather(wire, values, feedback);
}

void Exchange::BucketRound::sum(comm::Wire& wire, std::span<float> values, ErrorFeedback* feedback) {
  const int n = wire.size(), me = wire.rank();
  const auto slice_of = [&](int rank) { return owned_slice(values.size(), rank, n); };
  const Slice mine = slice_of(me);
  std::vector<ConstBytes> to(static_cast<size_t>(n));
  std::vector<MutableBytes> from(static_cast<size_t>(n));
  const auto worst_frame = [&](size_t elems) { return kFrameHeaderBytes + codec_->traits(flat_layer(0, elems)).worst_bytes; };

  for (int r = 0; r < n; ++r) {
    const Slice slice = slice_of(r);
    const MutableBytes frame = sized(outgoing_[static_cast<size_t>(r)], worst_frame(slice.size()));
    const float* x = values.data() + slice.begin;
    const In in = feedback ? feedback->compensate(bucket_.begin + slice.begin, x, info_.scale) : In{x, info_.scale, nullptr, 1};
    const size_t body = encode(me, flat_layer(static_cast<uint32_t>(slice.begin), slice.size()), in, frame.data() + kFrameHeaderBytes);
    to[static_cast<size_t>(r)] = frame.first(compressors::seal_frame(frame, frame_info(kContribution), body));
    from[static_cast<size_t>(r)] = sized(incoming_[static_cast<size_t>(r)], worst_frame(mine.size()));
  }
  comm::all_to_all(wire, to, from);

  sum_.assign(mine.size(), 0.0f);
  for (int r = 0; r < n; ++r) {
    const ConstBytes frame = r == me ? to[static_cast<size_t>(r)] : ConstBytes(from[static_cast<size_t>(r)]);
    decode(r, flat_layer(static_cast<uint32_t>(mine.begin), mine.size()), open(r, frame, kContribution), 1.0f, sum_.data());
  }

  context_.own = context_.own.fork("combined");  // a leg's roundings are independent of the other's
  const MutableBytes mean = sized(outgoing_[static_cast<size_t>(me)], worst_frame(mine.size()));
  const size_t body = encode(me, flat_layer(static_cast<uint32_t>(mine.begin), mine.size()),
                             In{sum_.data(), 1.0f / static_cast<float>(n), nullptr, 1}, mean.data() + kFrameHeaderBytes);
  const ConstBytes sealed = mean.first(compressors::seal_frame(mean, frame_info(kCombined), body));
  for (int r = 0; r < n; ++r) from[static_cast<size_t>(r)] = sized(incoming_[static_cast<size_t>(r)], worst_frame(slice_of(r).size()));
  comm::all_gather(wire, sealed, from);

  std::fill(values.begin(), values.end(), 0.0f);
  for (int r = 0; r < n; ++r) {
    const Slice slice = slice_of(r);
    const ConstBytes frame = r == me ? sealed : ConstBytes(from[static_cast<size_t>(r)]);
    decode(r, flat_layer(static_cast<uint32_t>(slice.begin), slice.size()), open(r, frame, kCombined), 1.0f, values.data() + slice.begin);
  }
}

void Exchange::BucketRound::gather(comm::Wire& wire, std::span<float> values, ErrorFeedback* feedback) {
  const int n = wire.size(), me = wire.rank();
  const auto layer_of = [&](Slot slot) { return Layer{slot, table_.slots()[slot].rows, table_.slots()[slot].cols}; };
  size_t worst = kFrameHeaderBytes;
  for (const Slot slot : bucket_.slots) worst += sizeof(uint32_t) + codec_->traits(layer_of(slot)).worst_bytes;

  const MutableBytes frame = sized(outgoing_[static_cast<size_t>(me)], worst);
  size_t end = kFrameHeaderBytes;
  for (const Slot slot : bucket_.slots) {
    const size_t at = table_.offset(slot) - bucket_.begin;
    const In in = feedback ? feedback->compensate(bucket_.begin + at, values.data() + at, info_.scale)
                           : In{values.data() + at, info_.scale, nullptr, 1};
    const size_t length = encode(me, layer_of(slot), in, frame.data() + end + sizeof(uint32_t));
    store_le(frame.data() + end, static_cast<uint32_t>(length));
    end += sizeof(uint32_t) + length;
  }
  const ConstBytes sealed = frame.first(compressors::seal_frame(frame, frame_info(kContribution), end - kFrameHeaderBytes));

  std::vector<MutableBytes> from(static_cast<size_t>(n));
  for (int r = 0; r < n; ++r) {
    if (r != me) from[static_cast<size_t>(r)] = sized(incoming_[static_cast<size_t>(r)], worst);
  }
  comm::all_gather(wire, sealed, from);

  std::fill(values.begin(), values.end(), 0.0f);
  for (int r = 0; r < n; ++r) {
    const ConstBytes arrived = r == me ? sealed : ConstBytes(from[static_cast<size_t>(r)]);
    const ConstBytes body_bytes = open(r, arrived, kContribution);
    try {
      ByteReader body(body_bytes, source(r, kContribution));
      for (const Slot slot : bucket_.slots) {
        const ConstBytes payload = body.take(body.read<uint32_t>("payload length"), "payload");
        decode(r, layer_of(slot), payload, 1.0f / static_cast<float>(n), values.data() + table_.offset(slot) - bucket_.begin);
      }
      if (body.remaining() != 0)
        throw CorruptData(source(r, kContribution) + ": " + std::to_string(body.remaining()) + " bytes after the last payload");
    } catch (const CorruptData& e) {
      throw CommError(e.what());
    }
  }
}

size_t Exchange::BucketRound::encode(int rank, Layer layer, In in, std::byte* out) {
  const Stopwatch watch(encode_s_);
  context_.scratch = sized_scratch(scratch_, codec_->traits(layer).scratch_bytes);
  try {
    return codec_->encode(layer, in, context_, out);
  } catch (const NonFiniteError&) {
    // The codec knows a layer and an element; the user knows a parameter.
    const bool whole_slot = codec_->traits(layer).combine == compressors::Combine::gather;
    const size_t begin = whole_slot ? table_.offset(layer.id) - bucket_.begin : layer.id;
    report_non_finite(rank, in, begin, static_cast<size_t>(layer.elems()));
  }
}

void Exchange::BucketRound::decode(int from_rank, Layer layer, ConstBytes payload, float weight, float* out) {
  const Stopwatch watch(encode_s_);
  context_.scratch = sized_scratch(scratch_, codec_->traits(layer).scratch_bytes);
  try {
    codec_->decode_add(layer, payload, weight, out, context_);
  } catch (const CorruptData& e) {
    throw CommError("rank " + std::to_string(from_rank) + " sent a payload that codec " + std::string(codec_->name()) +
                    " refuses: " + e.what());
  }
}

ConstBytes Exchange::BucketRound::open(int from_rank, ConstBytes frame, uint16_t leg) {
  try {
    return compressors::open_frame(frame, frame_info(leg), source(from_rank, leg));
  } catch (const CorruptData& e) {
    throw CommError(e.what());
  }
}

compressors::FrameInfo Exchange::BucketRound::frame_info(uint16_t leg) const {
  return {codec_->id(), leg, bucket_index_, info_.step, table_.hash(), 0};
}

std::string Exchange::BucketRound::source(int from_rank, uint16_t leg) const {
  return "rank " + std::to_string(from_rank) + (leg == kContribution ? "'s contribution" : "'s combined slice") + " to bucket " +
         std::to_string(bucket_index_);
}

void Exchange::BucketRound::report_non_finite(int rank, const In& in, size_t begin, size_t elems) const {
  for (size_t i = 0; i < elems; ++i) {
    const float a = in.scale * in.x[i] + (in.residual ? in.decay * in.residual[i] : 0.0f);
    if (std::isfinite(a)) continue;
    const size_t at = bucket_.begin + begin + i;
    for (const Slot slot : bucket_.slots) {
      const SlotSpec& spec = table_.slots()[slot];
      if (at < table_.offset(slot) || at >= table_.offset(slot) + spec.elems()) continue;
      throw NonFiniteError("non-finite value in '" + spec.name + "' on rank " + std::to_string(rank) + " at step " +
                           std::to_string(info_.step) + ": element " + std::to_string(at - table_.offset(slot)) + " is " +
                           std::to_string(a) + ", before compression; a lower optim.lr, a longer optim.warmup or optim.clip usually helps");
    }
  }
  throw NonFiniteError("non-finite value on rank " + std::to_string(rank) + " at step " + std::to_string(info_.step));
}

}  // namespace thinwire::exchange
