// A DeviceCodec without a device: the host's codec at work on the streams of a LateRuntime. What uses DeviceCodec is tested with it where
// there is no GPU, and it is itself held to the conformance of device codecs.
#pragma once
#include <algorithm>
#include <cmath>
#include <memory>

#include "compressors/device_codec.h"
#include "compressors/guards.h"
#include "late_runtime.h"

namespace thinwire::testing {

class HostedCodec final : public compressors::DeviceCodec {
 public:
  HostedCodec(std::shared_ptr<const compressors::Codec> codec, LateRuntime& runtime) : codec_(std::move(codec)), runtime_(runtime) {}

  size_t scratch_bytes(compressors::Layer layer) const override { return codec_->traits(layer).scratch_bytes; }

  void encode(compressors::Layer layer, const compressors::DeviceIn& in, const compressors::DeviceContext& context,
              std::byte* out) const override {
    runtime_.post(context.stream, [=, this] {
      const compressors::In everything{.x = in.x, .scale = in.scale, .residual = const_cast<float*>(in.residual), .decay = in.decay};
      for (size_t i = 0; i < static_cast<size_t>(layer.elems()); ++i) {
        float a = 0;
        compressors::accumulate(everything, i, {&a, 1});
        if (std::isfinite(a)) continue;
        *context.report = {.payload_bytes = 0, .fault = i};
        return;
      }
      std::vector<float> residual;
      if (in.residual != nullptr) residual.assign(in.residual, in.residual + layer.elems());
      if (in.residual == nullptr && in.left != nullptr) residual.resize(static_cast<size_t>(layer.elems()));
      compressors::Context host = host_context(layer, context);
      const compressors::In host_in{
          .x = in.x, .scale = in.scale, .residual = residual.empty() ? nullptr : residual.data(), .decay = in.decay};
      *context.report = {.payload_bytes = codec_->encode(layer, host_in, host, out), .fault = compressors::DeviceReport::kNoFault};
      if (in.left != nullptr) std::ranges::copy(residual, in.left);
    });
  }

  void decode_add(compressors::Layer layer, ConstBytes payload, float weight, float* out,
                  const compressors::DeviceContext& context) const override {
    runtime_.post(context.stream, [=, this] {
      *context.report = {.payload_bytes = payload.size(), .fault = compressors::DeviceReport::kNoFault};
      compressors::Context host = host_context(layer, context);
      try {
        codec_->decode_add(layer, payload, weight, out, host);
      } catch (const CorruptData&) {
        context.report->fault = 0;
      }
    });
  }

 private:
  compressors::Context host_context(compressors::Layer layer, const compressors::DeviceContext& context) const {
    return {.scratch = {context.scratch, scratch_bytes(layer)}, .own = context.own};
  }

  std::shared_ptr<const compressors::Codec> codec_;
  LateRuntime& runtime_;
};

}  // namespace thinwire::testing
