#include "exchange/rounds/host_courier.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/flight.h"
#include "base/trace.h"
#include "compressors/dense_kernels.h"
#include "compressors/guards.h"

namespace thinwire::exchange {

using compressors::Context;
using compressors::In;
using compressors::kFrameHeaderBytes;

namespace {
// A buffer that only grows: once a bucket has run, a round allocates nothing of the size of its data.
MutableBytes grown(std::vector<std::byte>& buffer, size_t num_bytes) {
  if (buffer.size() < num_bytes) buffer.resize(num_bytes);
  return std::span(buffer).first(num_bytes);
}
}  // namespace

MutableBytes HostCourier::room(Frame& frame, size_t num_bytes) { return frame.room = grown(frame.own, num_bytes); }

Context& HostCourier::context(size_t scratch_bytes) {
  constexpr size_t kAlignment = 64;  // what a codec is promised (compressors/compressor.h)
  const MutableBytes whole = grown(scratch_, scratch_bytes + kAlignment - 1);
  void* begin = whole.data();
  size_t room = whole.size();
  check(std::align(kAlignment, scratch_bytes, begin, room) != nullptr, "the buffer has room for the alignment");
  context_.scratch = {static_cast<std::byte*>(begin), scratch_bytes};
  return context_;
}

void HostCourier::pack(uint16_t leg, std::span<const Piece> pieces, OfferOf offer_of, Frame& frame) {
  trace::Span encodes(trace::Lane::encode, "bucket", bucket());
  const MutableBytes bytes = room(frame, worst_frame_bytes(pieces));
  size_t end = kFrameHeaderBytes;
  for (const Piece& piece : pieces) {
    const bool varies = !piece.codec->traits(piece.layer).exact_bytes;
    std::byte* payload = bytes.data() + end + (varies ? kLengthBytes : 0);
    const size_t length = encode(piece, leg, offer_of(piece), payload);
    if (varies) store_le(bytes.data() + end, static_cast<uint32_t>(length));
    end = static_cast<size_t>(payload - bytes.data()) + length;
  }
  const size_t frame_bytes = compressors::seal_frame(bytes, frame_info(pieces, leg), end - kFrameHeaderBytes);
  encodes.moves(frame_bytes);
  frame.sealed = bytes.first(frame_bytes);
}

void HostCourier::unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out,
                         size_t base, Onto onto) {
  trace::Span decodes(trace::Lane::decode, "bucket", bucket());
  decodes.moves(frame.size());
  open(from_rank, leg, frame, pieces, [&](const Piece& piece, ConstBytes payload) {
    float* const to = out + (piece.begin - base);
    if (onto == Onto::zeros) std::fill_n(to, piece.elems(), 0.0f);  // piece by piece, so that decoding finds it in the cache
    decode(from_rank, piece, payload, weight, to);
  });
}

size_t HostCourier::encode(const Piece& piece, uint16_t leg, In in, std::byte* out) {
  const flight::Scope noted(flight::Kind::encode, name_of(piece));
  const TimeInto time = time_codec();
  Context& with = context(piece.codec->traits(piece.layer).scratch_bytes);
  with.own = draw_of(piece, leg);
  try {
    return piece.codec->encode(piece.layer, in, with, out);
  } catch (const NonFiniteError&) {
    find_non_finite(piece, in);  // the codec knows a layer and an element; the user knows a parameter
  }
}

void HostCourier::decode(int from_rank, const Piece& piece, ConstBytes payload, float weight, float* out) {
  const TimeInto time = time_codec();
  try {
    piece.codec->decode_add(piece.layer, payload, weight, out, context(piece.codec->traits(piece.layer).scratch_bytes));
  } catch (const CorruptData& e) {
    refuse_payload(from_rank, piece, e);
  }
}

bool HostCourier::require_finite(std::span<const Piece> pieces, OfferOf offer_of) {
  for (const Piece& piece : pieces) require_finite(piece, offer_of(piece));
  return true;
}

void HostCourier::require_finite(const Piece& piece, const In& in) const {
  try {
    compressors::require_finite(piece.layer, in);
  } catch (const NonFiniteError&) {
    find_non_finite(piece, in);
  }
}

void HostCourier::find_non_finite(const Piece& piece, const In& in) const {
  for (size_t i = 0; i < piece.elems(); ++i) {
    const float a = in.scale * in.x[i] + (in.residual ? in.decay * in.residual[i] : 0.0f);
    if (!std::isfinite(a)) report_non_finite(piece, i, a);
  }
  broken_invariant("a codec refuses only numbers that are not finite");
}

std::span<float> HostCourier::numbers(std::vector<float>& own, size_t elems) {
  own.resize(elems);
  return own;
}

// A sum of squares in double is finite exactly when all of its floats are.
bool HostCourier::measure(const In& in, size_t elems, Squares& squares) {
  squares = squares_of(in, elems);
  return std::isfinite(squares.offered);
}

void HostCourier::measure(std::span<const float> x, double& square_sum) { square_sum = compressors::dense_kernels::square_sum(x); }

}  // namespace thinwire::exchange
