#include "trainer/announce.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"

namespace thinwire::trainer {

void announce(const Parts& parts, const comm::Transport& transport) {
  const Options& o = parts.options;
  const TaskFacts& task = parts.task->facts();
  const int world = parts.driver.size();
  std::map<std::string, int64_t> elems_by_codec;
  for (const auto& slot : parts.exchange->table().slots())
    elems_by_codec[std::string(slot.codec->name())] += static_cast<int64_t>(slot.elems());
  std::vector<std::string> codecs;
  for (const auto& [codec, elems] : elems_by_codec) codecs.push_back(codec + " " + with_thousands(elems));
  const std::string schedule =
      o.exchange.schedule == "local_steps"
          ? fmt::format("local_steps, every {} steps, outer {} lr {}", o.exchange.every, o.exchange.outer.name, o.exchange.outer.lr)
          : "every_step";
  log::info("run        {}", parts.location.directory.string());
  log::info("ranks      {} over {}; threads each: {}", world, transport.name(), o.run.threads);
  log::info("model      {} with {} parameters, {}", o.model.type, with_thousands(parts.model->num_parameters()), task.input);
  log::info("device     {}{}", parts.device.description, parts.passes_as_graph ? "; forward and backward as one CUDA graph" : "");
  log::info("precision  {}{}", parts.precision.used, parts.precision.reason.empty() ? "" : " (auto: " + parts.precision.reason + ")");
  log::info("data       {}", task.description);
  log::info("batch      {} {} = {} (ranks) x {} (micro-batches) x {} ({}); {} {} per step", o.data.global_batch, task.samples, world,
            parts.micro_batches, o.data.micro_batch, task.samples, with_thousands(o.data.global_batch * task.sample_tokens), task.units);
  log::info("exchange   {}; buckets: {}; elements by codec: {}; error feedback {}", schedule, parts.exchange->table().buckets().size(),
            join(codecs, ", "), o.compress.error_feedback.name);
  if (o.checkpoint.mode == "near_exact" || o.checkpoint.mode == "extreme")
    log::info("saves      {}: a resume from one goes on otherwise than if the run had not been stopped", o.checkpoint.mode);
  for (const auto& [why, elems] : parts.exchange->elems_through_host())
    log::info("exchange   {} elements cross from the GPU to the host for their rounds: {}", with_thousands(static_cast<int64_t>(elems)),
              why);
}

void warn_of_odd_choices(const Parts& parts) {
  double smallest_delta = 1;
  bool is_sparse = false;
  for (const auto& slot : parts.exchange->table().slots()) {
    smallest_delta = std::min(smallest_delta, slot.delta());
    is_sparse = is_sparse || (slot.traits().combine == compressors::Combine::gather && slot.delta() < 0.5);
  }
  if (parts.driver.rank() != 0) return;
  if (parts.driver.size() == 1 && smallest_delta < 1) {
    log::warn(
        "there is one rank: nothing crosses a wire, yet codecs lose precision; start with mpirun or parallel.dp, or set "
        "compress.codec=none");
  }
  const bool gradients_under_adamw = parts.options.exchange.schedule == "every_step" && parts.options.optim.name == "adamw";
  if (gradients_under_adamw && parts.options.compress.plan.method != "off" && parts.options.compress.plan.metric != "relative") {
    log::warn(
        "the plan weighs errors by the size of gradients, which AdamW takes out again: set compress.plan.metric=relative "
        "(docs/methods/lgreco.md)");
  }
  if (gradients_under_adamw && parts.options.compress.error_feedback.name == "ef21_sgdm") {
    log::warn("ef21_sgdm gives the optimiser a momentum where AdamW expects a gradient; it is made for optim: {{name: sgd, momentum: 0}}");
  }
  if (gradients_under_adamw && is_sparse) {
    log::warn(
        "a codec leaves out most of every gradient, which trains badly under AdamW; exchange.schedule=local_steps makes it leave out most "
        "of "
        "the update instead (docs/methods/topk.md)");
  }
}

}  // namespace thinwire::trainer
