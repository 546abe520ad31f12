#include "models/autocast.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

namespace thinwire::models {

Autocast::Autocast(c10::DeviceType device)
    : device_(device),
      was_enabled_(at::autocast::is_autocast_enabled(device_)),
      had_cache_(at::autocast::is_autocast_cache_enabled()),
      dtype_before_(at::autocast::get_autocast_dtype(device_)) {
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::set_autocast_cache_enabled(false);
}

Autocast::~Autocast() {
  at::autocast::set_autocast_cache_enabled(had_cache_);
  at::autocast::set_autocast_dtype(device_, dtype_before_);
  at::autocast::set_autocast_enabled(device_, was_enabled_);
}

namespace {
class Bf16Model final : public Model {
 public:
  explicit Bf16Model(std::unique_ptr<Model> model) : model_(std::move(model)) {}
  const std::vector<Parameter>& parameters() const override { return model_->parameters(); }
  void move_to(c10::Device device) override { model_->move_to(device); }
  at::Tensor logits(const at::Tensor& inputs) const override {
    const Autocast autocast(model_->device().type());
    return model_->logits(inputs).to(at::kFloat);
  }
  at::Tensor next_logits(const at::Tensor& tokens, KvCache& past) const override {
    const Autocast autocast(model_->device().type());
    return model_->next_logits(tokens, past).to(at::kFloat);
  }

 private:
  std::unique_ptr<Model> model_;
};
}  // namespace

std::unique_ptr<Model> in_bf16(std::unique_ptr<Model> model) { return std::make_unique<Bf16Model>(std::move(model)); }

}  // namespace thinwire::models
