#include "exchange/device/courier.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/trace.h"

namespace thinwire::exchange {

using compressors::DeviceCodec;
using compressors::DeviceContext;
using compressors::DeviceReport;
using compressors::kFrameHeaderBytes;

namespace {
size_t whole_units(size_t num_bytes) {
  constexpr size_t kUnit = DeviceCodec::kPayloadAlignment;
  return (num_bytes + kUnit - 1) / kUnit * kUnit;
}
}  // namespace

void DeviceCourier::start() {
  encoded_.clear();
  decoded_.clear();
  packed_.clear();
  reports_.clear();
}

const DeviceCodec& DeviceCourier::device_half(const Piece& piece) const {
  const auto found = codecs_.find(piece.codec);
  check(found != codecs_.end() && found->second != nullptr, "the codec of a bucket on the device has a half there");
  return *found->second;
}

std::pair<DeviceReport*, DeviceReport*> DeviceCourier::reports(size_t count) {
  return {reinterpret_cast<DeviceReport*>(lane_.device(count * sizeof(DeviceReport))),
          reinterpret_cast<DeviceReport*>(lane_.pinned(count * sizeof(DeviceReport)))};
}

DeviceContext DeviceCourier::context(const Piece& piece, DeviceReport* report) {
  return {.scratch = lane_.scratch(device_half(piece).scratch_bytes(piece.layer)), .stream = lane_.stream(), .report = report};
}

MutableBytes DeviceCourier::room(Frame& frame, size_t num_bytes) { return frame.room = {lane_.pinned(num_bytes), num_bytes}; }

void DeviceCourier::pack(uint16_t leg, std::span<const Piece> pieces, OfferOf offer_of, Frame& frame) {
  const trace::Span encodes(trace::Lane::encode, "bucket", bucket());
  const TimeInto time = time_codec();
  room(frame, worst_frame_bytes(pieces));
  const auto [on_device, on_host] = reports(pieces.size());
  Packed message{&frame, leg, pieces, encoded_.size(), on_host, false};
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const auto traits = piece.codec->traits(piece.layer);
    message.varies |= !traits.exact_bytes;
    const Offer offer = offer_of(piece);
    std::byte* payload = lane_.device(whole_units(traits.worst_bytes));
    DeviceContext with = context(piece, on_device + i);
    with.own = draw_of(piece, leg);
    device_half(piece).encode(piece.layer,
                              {.x = offer.x,
                               .scale = offer.scale,
                               .residual = offer.residual,
                               .decay = offer.decay,
                               .left = offer.left != nullptr ? offer.left : offer.residual},
                              with, payload);
    reports_.push_back({true, encoded_.size(), on_host + i});
    encoded_.push_back({&piece, offer, payload});
  }
  lane_.runtime().copy(on_host, on_device, pieces.size() * sizeof(DeviceReport), lane_.stream());
  if (!message.varies) bring(message);
  packed_.push_back(message);
}

// Puts the payloads' ways into the frame on the stream. Where a length varies, the reports must have come.
void DeviceCourier::bring(const Packed& message) {
  std::byte* const begin = message.frame->room.data();
  size_t end = kFrameHeaderBytes;
  for (size_t i = 0; i < message.pieces.size(); ++i) {
    const Piece& piece = message.pieces[i];
    const auto traits = piece.codec->traits(piece.layer);
    const size_t length = traits.exact_bytes ? *traits.exact_bytes : message.reports[i].payload_bytes;
    check(length <= traits.worst_bytes, "no payload is longer than the longest");
    if (!traits.exact_bytes) {
      store_le(begin + end, static_cast<uint32_t>(length));
      end += kLengthBytes;
    }
    lane_.runtime().copy(begin + end, encoded_[message.first + i].payload, length, lane_.stream());
    end += length;
  }
  message.frame->sealed = {begin, end};  // as long as it will be
}

ConstBytes DeviceCourier::seal(Frame& frame) {
  if (packed_.empty()) return frame.sealed;
  trace::Span encodes(trace::Lane::encode, "bucket", bucket());
  const TimeInto time = time_codec();
  wait();
  bool varies = false;
  for (const Packed& message : packed_) {
    if (message.varies) bring(message);
    varies |= message.varies;
  }
  if (varies) lane_.wait();
  size_t frames_bytes = 0;
  for (const Packed& message : packed_) {
    const size_t body_bytes = message.frame->sealed.size() - kFrameHeaderBytes;
    message.frame->sealed =
        message.frame->room.first(compressors::seal_frame(message.frame->room, frame_info(message.pieces, message.leg), body_bytes));
    frames_bytes += message.frame->sealed.size();
  }
  encodes.moves(frames_bytes);
  packed_.clear();
  encoded_.clear();
  return frame.sealed;
}

void DeviceCourier::unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out,
                           size_t base, Onto onto) {
  trace::Span decodes(trace::Lane::decode, "bucket", bucket());
  decodes.moves(frame.size());
  const TimeInto time = time_codec();
  const auto [on_device, on_host] = reports(pieces.size());
  size_t done = 0;
  open(from_rank, leg, frame, pieces, [&, on_device = on_device, on_host = on_host](const Piece& piece, ConstBytes payload) {
    std::byte* there = lane_.device(whole_units(payload.size()));
    lane_.runtime().copy(there, payload.data(), payload.size(), lane_.stream());
    float* const to = out + (piece.begin - base);
    if (onto == Onto::zeros) lane_.runtime().zero(to, piece.elems() * sizeof(float), lane_.stream());
    device_half(piece).decode_add(piece.layer, {there, payload.size()}, weight, to, context(piece, on_device + done));
    reports_.push_back({false, decoded_.size(), on_host + done});
    decoded_.push_back({&piece, payload, from_rank});
    ++done;
  });
  lane_.runtime().copy(on_host, on_device, pieces.size() * sizeof(DeviceReport), lane_.stream());
}

void DeviceCourier::settle() {
  check(packed_.empty(), "what is packed is sealed first");
  const trace::Span decodes(trace::Lane::decode, "bucket", bucket());
  const TimeInto time = time_codec();
  wait();
}

// Then everything that has been put on the stream is done, and known to be good.
void DeviceCourier::wait() {
  lane_.wait();
  for (const Report& report : reports_) {
    if (report.on_host->fault == DeviceReport::kNoFault) continue;
    report.is_encode ? blame(encoded_[report.index], report.on_host->fault) : blame(decoded_[report.index]);
  }
  for (const Measured& measured : measured_) {
    for (size_t i = 0; i < measured.to.size(); ++i) {
      if (measured.to[i] != nullptr) *measured.to[i] = measured.on_host[i];
    }
  }
  reports_.clear();
  decoded_.clear();
  measured_.clear();
}

// As the host would say it: the formula is In's.
void DeviceCourier::blame(const Encoded& encoded, size_t element) {
  const auto number = [&](const float* numbers) {
    float value = 0;
    lane_.home().fetch(std::as_writable_bytes(std::span(&value, 1)), numbers + element);
    return value;
  };
  const Offer& offer = encoded.offer;
  const float fresh = offer.scale * number(offer.x);
  report_non_finite(*encoded.piece, element, offer.residual == nullptr ? fresh : offer.decay * number(offer.residual) + fresh);
}

// A fault of the device has no words: those of the host's codec for the same bytes.
void DeviceCourier::blame(const Decoded& decoded) {
  const Piece& piece = *decoded.piece;
  std::vector<float> out(piece.elems());
  std::vector<std::max_align_t> scratch(piece.codec->traits(piece.layer).scratch_bytes / sizeof(std::max_align_t) + 8);
  void* begin = scratch.data();
  size_t room = scratch.size() * sizeof(std::max_align_t);
  compressors::Context context;
  context.scratch = {static_cast<std::byte*>(std::align(64, piece.codec->traits(piece.layer).scratch_bytes, begin, room)),
                     piece.codec->traits(piece.layer).scratch_bytes};
  try {
    piece.codec->decode_add(piece.layer, decoded.payload, 1, out.data(), context);
  } catch (const CorruptData& e) {
    refuse_payload(decoded.from_rank, piece, e);
  }
  broken_invariant("a payload that the device refuses is refused by the host");
}

std::span<float> DeviceCourier::numbers(std::vector<float>&, size_t elems) {
  return {reinterpret_cast<float*>(lane_.device(elems * sizeof(float))), elems};
}

// sum(sums, scratch) puts the work on the stream.
template <class Sum>
void DeviceCourier::measure_into(std::array<double*, 2> to, Sum&& sum) {
  constexpr size_t kBytes = 2 * sizeof(double);
  auto* on_device = reinterpret_cast<double*>(lane_.device(kBytes));
  auto* on_host = reinterpret_cast<double*>(lane_.pinned(kBytes));
  sum(on_device, lane_.scratch(lane_.home().machine().kernels.squares_scratch_bytes()));
  lane_.runtime().copy(on_host, on_device, kBytes, lane_.stream());
  measured_.push_back({on_host, to});
}

bool DeviceCourier::measure(const compressors::In& in, size_t elems, Squares& squares) {
  measure_into({&squares.input, &squares.offered},
               [&](double* sums, std::byte* scratch) { lane_.home().machine().kernels.squares(in, elems, sums, scratch, lane_.stream()); });
  return false;  // not known before settle()
}

void DeviceCourier::measure(std::span<const float> x, double& square_sum) {
  measure_into({&square_sum, nullptr}, [&](double* sums, std::byte* scratch) {
    lane_.home().machine().kernels.square_sum(x.data(), x.size(), sums, scratch, lane_.stream());
  });
}

}  // namespace thinwire::exchange
