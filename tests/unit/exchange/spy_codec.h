// A codec around another one that shows a test what the exchange hands to codecs.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "base/check.h"
#include "compressors/codec.h"

namespace thinwire::exchange::testing {

class SpyCodec final : public compressors::Codec {
 public:
  struct Encoded {
    compressors::Layer layer;
    bool has_residual;
    const compressors::Context& context;
    ConstBytes payload;
  };
  // `on_encode` runs on the communication threads of the rank that has this codec in its slots, one at a time.
  SpyCodec(std::shared_ptr<const compressors::Codec> inner, std::function<void(const Encoded&)> on_encode)
      : inner_(std::move(inner)), on_encode_(std::move(on_encode)) {}

  uint16_t id() const override { return inner_->id(); }
  std::string_view name() const override { return inner_->name(); }
  compressors::Traits traits(compressors::Layer layer) const override {
    compressors::Traits traits = inner_->traits(layer);
    traits.delta = 0.5;            // so that there is feedback, for a codec without loss too
    traits.scratch_bytes += 1001;  // so that sizes are odd
    return traits;
  }
  size_t encode(compressors::Layer layer, compressors::In in, compressors::Context& context, std::byte* out) const override {
    require_scratch(layer, context);
    const size_t bytes = inner_->encode(layer, in, context, out);
    const std::lock_guard lock(mutex_);
    on_encode_({layer, in.residual != nullptr, context, ConstBytes(out, bytes)});
    return bytes;
  }
  void decode_add(compressors::Layer layer, ConstBytes payload, float weight, float* out, compressors::Context& context) const override {
    require_scratch(layer, context);
    inner_->decode_add(layer, payload, weight, out, context);
  }

 private:
  void require_scratch(compressors::Layer layer, const compressors::Context& context) const {
    check(context.scratch.size() >= traits(layer).scratch_bytes, "scratch is as large as the codec asked for");
    check(reinterpret_cast<uintptr_t>(context.scratch.data()) % 64 == 0, "scratch is aligned to 64 bytes");
  }

  const std::shared_ptr<const compressors::Codec> inner_;
  const std::function<void(const Encoded&)> on_encode_;
  mutable std::mutex mutex_;
};

}  // namespace thinwire::exchange::testing
