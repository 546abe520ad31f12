#include "device_support.h"

#include <chrono>
#include <thread>

#include "hosted_codec.h"

namespace thinwire::compressors::testing {
namespace {

enum Which : size_t { kX, kResidual, kLeft, kPayload, kOut, kScratch, kReport, kArrays };

size_t rounded_up(size_t num_bytes) {
  return (num_bytes + DeviceCodec::kPayloadAlignment - 1) / DeviceCodec::kPayloadAlignment * DeviceCodec::kPayloadAlignment;
}

}  // namespace

DeviceRig::DeviceRig(const Variant& variant, bool on_gpu) : host_(make(variant)), arrays_(kArrays) {
  if (on_gpu) {
    runtime_ = &cuda::runtime();
    runtime_->use(0);
    device_ = host_->on_device();
  } else {
    late_ = std::make_unique<thinwire::testing::LateRuntime>();
    runtime_ = late_.get();
    device_ = std::make_unique<thinwire::testing::HostedCodec>(host_, *late_);
  }
  stream_ = runtime_->make_stream();
  event_ = runtime_->make_event();
}

DeviceRig::~DeviceRig() {
  runtime_->destroy_event(event_);
  runtime_->destroy_stream(stream_);
}

// Grows as needed, so that a small layer is encoded into memory that still holds what a larger one left.
DeviceArray& DeviceRig::array(size_t which, size_t num_bytes) {
  auto& array = arrays_[which];
  if (array == nullptr || array->bytes() < num_bytes) array = std::make_unique<DeviceArray>(*runtime_, num_bytes);
  return *array;
}

DeviceContext DeviceRig::context(Layer layer) {
  return {.scratch = array(kScratch, device_->scratch_bytes(layer)).at(),
          .stream = stream_,
          .report = reinterpret_cast<DeviceReport*>(array(kReport, sizeof(DeviceReport)).at()),
          .own = kOwn};
}

void DeviceRig::send(const DeviceArray& to, size_t offset, ConstBytes bytes) {
  runtime_->copy(to.at(offset), bytes.data(), bytes.size(), stream_);
}

template <class T>
void DeviceRig::fetch(const DeviceArray& from, size_t offset, std::vector<T>& to) {
  runtime_->copy(to.data(), from.at(offset), to.size() * sizeof(T), stream_);
}

void DeviceRig::wait() {
  using Clock = std::chrono::steady_clock;
  runtime_->record(event_, stream_);
  for (const auto deadline = Clock::now() + std::chrono::seconds(60); !runtime_->is_done(event_); std::this_thread::yield()) {
    if (Clock::now() > deadline) throw CommError("the device has not finished a codec's work within 60 s");
  }
}

DeviceEncoded DeviceRig::encode(Layer layer, const std::vector<float>& x, const std::vector<float>& residual, Residual how, size_t shift) {
  const size_t elems = x.size(), bytes = (elems + shift) * sizeof(float), offset = shift * sizeof(float);
  const size_t room = rounded_up(host_->traits(layer).worst_bytes);
  const DeviceArray &on_x = array(kX, bytes), &on_residual = array(kResidual, bytes), &on_left = array(kLeft, bytes),
                    &out = array(kPayload, room);
  const Payload before(room, std::byte{0xa5});
  send(on_x, offset, std::as_bytes(std::span(x)));
  send(on_residual, offset, std::as_bytes(std::span(residual)));
  send(out, 0, before);
  const DeviceContext on_device = context(layer);
  DeviceIn in{.x = on_x.floats(shift), .scale = kScale};
  if (how != Residual::none) {
    in.residual = on_residual.floats(shift);
    in.decay = kDecay;
    in.left = how == Residual::in_place ? on_residual.floats(shift) : on_left.floats(shift);
  }
  device_->encode(layer, in, on_device, out.at());

  DeviceEncoded encoded{Payload(room), std::vector<float>(elems), std::vector<float>(how == Residual::none ? 0 : elems), {}};
  std::vector<DeviceReport> report(1);
  fetch(out, 0, encoded.payload);
  fetch(on_residual, offset, encoded.residual);
  fetch(how == Residual::in_place ? on_residual : on_left, offset, encoded.left);
  fetch(arrays_[kReport].operator*(), 0, report);
  wait();
  encoded.report = report[0];
  if (encoded.report.fault == DeviceReport::kNoFault && encoded.report.payload_bytes <= room)
    encoded.payload.resize(encoded.report.payload_bytes);
  return encoded;
}

DeviceDecoded DeviceRig::decode_add(Layer layer, const Payload& payload, float weight, const std::vector<float>& out, size_t shift) {
  const DeviceArray &on_payload = array(kPayload, rounded_up(payload.size())), &on_out = array(kOut, (out.size() + shift) * sizeof(float));
  send(on_payload, 0, payload);
  send(on_out, shift * sizeof(float), std::as_bytes(std::span(out)));
  const DeviceContext on_device = context(layer);
  device_->decode_add(layer, {on_payload.at(), payload.size()}, weight, on_out.floats(shift), on_device);

  DeviceDecoded decoded{std::vector<float>(out.size()), {}};
  std::vector<DeviceReport> report(1);
  fetch(on_out, shift * sizeof(float), decoded.out);
  fetch(*arrays_[kReport], 0, report);
  wait();
  decoded.report = report[0];
  return decoded;
}

std::optional<Encoded> DeviceRig::host_encode(Layer layer, const std::vector<float>& x, std::optional<std::vector<float>> residual) const {
  const Traits traits = host_->traits(layer);
  Scratch scratch(traits.scratch_bytes);
  scratch.context.own = kOwn;
  Encoded encoded{Payload(traits.worst_bytes), residual.value_or(std::vector<float>())};
  const In in{.x = x.data(), .scale = kScale, .residual = residual ? encoded.residual.data() : nullptr, .decay = residual ? kDecay : 1};
  try {
    encoded.payload.resize(host_->encode(layer, in, scratch.context, encoded.payload.data()));
  } catch (const NonFiniteError&) {
    return std::nullopt;
  }
  return encoded;
}

std::optional<std::vector<float>> DeviceRig::host_decode_add(Layer layer, const Payload& payload, float weight,
                                                             std::vector<float> out) const {
  try {
    testing::decode_add(*host_, layer, payload, weight, out);
  } catch (const CorruptData&) {
    return std::nullopt;
  }
  return out;
}

}  // namespace thinwire::compressors::testing
