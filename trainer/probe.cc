#include "trainer/probe.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/stopwatch.h"
#include "compressors/plan/candidates.h"
#include "compressors/plan/cost.h"
#include "compressors/plan/speed.h"
#include "models/autocast.h"
#include "trainer/estimating.h"
#include "trainer/optimizer.h"
#include "trainer/precision.h"
#include "trainer/task.h"

namespace thinwire::trainer {

namespace {

constexpr int kMostPasses = 4;
constexpr double kLong_s = 0.5;      // after which no further pass is begun
constexpr double kMostFlops = 2e10;  // of a pass that is tried
constexpr double kMostElems = 3e7;   // of its parameters

Batch random_batch(const models::ModelOptions& model, const models::PassShape& shape) {
  const int64_t n = shape.samples;
  if (model.sees_images()) return {at::ones({n, 1, shape.side, shape.side}), at::zeros({n}, at::kLong)};
  return {at::zeros({n, model.context}, at::kLong), at::zeros({n, model.context}, at::kLong)};
}

class Probe {
 public:
  Probe(const Options& options, const models::ModelOptions& model, const models::PassShape& shape)
      : model_(models::make_model(model, shape.num_classes, 1)), batch_(random_batch(model, shape)) {
    for (const auto& parameter : model_->parameters()) parameter.value.mutable_grad() = at::zeros_like(parameter.value);
    optimizer_ = make_optimizer(options.optim, model_->parameters());
    if (shape.in_bf16) autocast_.emplace();
  }
  double pass_s() {
    const Stopwatch watch;
    model_->loss(batch_.inputs, batch_.targets).backward();
    return watch.seconds();
  }
  double optimizer_s() {
    const Stopwatch watch;
    optimizer_->step(1, 0);
    return watch.seconds();
  }
  auto elems() const { return static_cast<double>(model_->num_parameters()); }

 private:
  std::unique_ptr<models::Model> model_;
  Batch batch_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<models::Autocast> autocast_;
};

// Of the same kind, and small enough to be built and timed: fewer samples, then fewer layers, then narrower.
struct Smaller {
  models::ModelOptions model;
  models::PassShape shape;
};
Smaller smaller(models::ModelOptions model, models::PassShape shape) {
  const auto is_small = [&] {
    const auto widths = static_cast<double>(model.d_model) * static_cast<double>(model.d_model);
    const double elems =
        model.sees_images() ? 0 : static_cast<double>(model.layers) * 12 * widths + static_cast<double>(shape.num_classes * model.d_model);
    return models::pass_flops(model, shape) <= kMostFlops && elems <= kMostElems;
  };
  while (!is_small() && shape.samples > 1) shape.samples /= 2;
  if (model.sees_images()) {
    while (!is_small() && model.blocks > 1) model.blocks /= 2;
    while (!is_small() && model.width >= 2 * model.groups) model.width = model.width / 2 / model.groups * model.groups;
    return {model, shape};
  }
  while (!is_small() && model.layers > 1) model.layers /= 2;
  while (!is_small() && shape.num_classes > 1024) shape.num_classes /= 2;
  while (!is_small() && model.context > 64) model.context /= 2;
  while (!is_small() && model.d_model > 128) {  // heads keep their width, as long as there is one
    model.d_model /= 2;
    model.ffn = std::max<int64_t>(1, model.ffn_width() / 2);
    model.heads = std::max<int64_t>(1, model.heads / 2);
    model.kv_heads.reset();
    model.d_model = std::max<int64_t>(2 * model.heads, model.d_model / (2 * model.heads) * (2 * model.heads));
  }
  return {model, shape};
}

}  // namespace

void run_tiny_pass(const Options& options) {
  models::ModelOptions tiny;
  tiny.type = options.model.type;
  tiny.d_model = 32;
  tiny.heads = 2;
  tiny.layers = 1;
  tiny.context = 16;
  Probe probe(options, tiny, {.samples = 1, .num_classes = 16, .in_bf16 = options.run.precision == "bf16"});
  probe.pass_s();
  probe.optimizer_s();
}

PassSpeed measured_passes(const Options& options, const estimate::Subject& subject) {
  at::set_num_threads(static_cast<int>(options.run.threads));
  const Smaller tried = smaller(options.model, subject.pass);
  Probe probe(options, tried.model, tried.shape);
  const Stopwatch watch;
  PassSpeed speed{probe.pass_s(), probe.optimizer_s()};  // the first, which loads code
  for (int i = 0; i < kMostPasses && (i == 0 || watch.seconds() < kLong_s); ++i) {
    const double pass_s = probe.pass_s(), optimizer_s = probe.optimizer_s();
    speed = i == 0 ? PassSpeed{pass_s, optimizer_s} : PassSpeed{std::min(speed.pass_s, pass_s), std::min(speed.optimizer_s, optimizer_s)};
  }
  speed.pass_s *= models::pass_flops(options.model, subject.pass) / models::pass_flops(tried.model, tried.shape);
  speed.optimizer_s *= subject.parameters() / probe.elems();
  return speed;
}

double measured_codec_s(const estimate::Subject& subject) {
  compressors::CandidateSet codecs;  // each once
  std::map<std::string, size_t> index;
  for (const auto& slot : subject.table.slots()) {
    if (index.try_emplace(slot.text, codecs.candidates.size()).second) codecs.candidates.push_back({slot.text, slot.codec});
  }
  const auto speeds = compressors::measure_speeds(codecs);
  double codec_s = 0;
  for (const auto& slot : subject.table.slots())
    codec_s +=
        compressors::codec_seconds(slot.combine(), static_cast<double>(slot.elems()), subject.peers().leaders, speeds[index[slot.text]]);
  return codec_s;
}

}  // namespace thinwire::trainer
