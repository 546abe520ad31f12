#include "trainer/announce.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "exchange/feedback/feedback.h"

namespace thinwire::trainer {

void announce(const Parts& parts, const comm::Transport& transport) {
  const Options& o = parts.options;
  const TaskFacts& task = parts.task->facts();
  const int world = parts.driver.size();
  std::map<std::string, int64_t> elems_by_codec;
  for (const auto& slot : parts.exchange->table().slots())
    elems_by_codec[slot.why_dense.empty() ? std::string(slot.codec->name()) : "none"] += static_cast<int64_t>(slot.elems());
  std::vector<std::string> codecs;
  for (const auto& [codec, elems] : elems_by_codec) codecs.push_back(codec + " " + with_thousands(elems));
  std::string schedule = o.exchange.schedule;
  if (schedule == "local_steps") {
    schedule += fmt::format(", every {} steps, outer {} lr {}", o.exchange.every, o.exchange.outer.name, o.exchange.outer.lr);
    if (o.exchange.fragments > 1) schedule += fmt::format(", in {} fragments", o.exchange.fragments);
    if (o.exchange.delay > 0) schedule += fmt::format(", applied {} step{} later", o.exchange.delay, o.exchange.delay == 1 ? "" : "s");
  }
  log::info("run        {}", parts.location.directory.string());
  log::info("ranks      {} over {}; threads each: {}", world, transport.name(), o.run.threads);
  log::info("model      {} with {} parameters, {}", o.model.type, with_thousands(parts.model->num_parameters()), task.input);
  log::info("device     {}{}", parts.device.description, parts.passes_as_graph ? "; forward and backward as one CUDA graph" : "");
  log::info("precision  {}{}", parts.precision.used, parts.precision.reason.empty() ? "" : " (auto: " + parts.precision.reason + ")");
  log::info("data       {}", task.description);
  log::info("batch      {} {} = {} (ranks) x {} (micro-batches) x {} ({}); {} {} per step", o.data.global_batch, task.samples, world,
            parts.micro_batches, o.data.micro_batch, task.samples, with_thousands(o.data.global_batch * task.sample_tokens), task.units);
  log::info("exchange   {}; buckets: {}; elements by codec: {}; error feedback {}", schedule, parts.exchange->table().buckets().size(),
            join(codecs, ", "), exchange::loses_anything(parts.exchange->table()) ? o.compress.error_feedback.name : "none");
  if (o.checkpoint.mode == "near_exact" || o.checkpoint.mode == "extreme")
    log::info("saves      {}: a resume from one goes on otherwise than if the run had not been stopped", o.checkpoint.mode);
  for (const auto& [why, elems] : parts.exchange->elems_through_host())
    log::info("exchange   {} elements cross from the GPU to the host for their rounds: {}", with_thousands(static_cast<int64_t>(elems)),
              why);
}

void warn_of_odd_choices(const Parts& parts) {
  const exchange::CompressOptions& compress = parts.options.compress;
  double smallest_delta = 1;
  bool drops_most = false;
  std::string why_dense;
  for (const auto& slot : parts.exchange->table().slots()) {
    smallest_delta = std::min(smallest_delta, slot.delta());
    const bool is_sparse = slot.traits().combine == compressors::Combine::gather && slot.delta() < 0.5;
    const bool is_random = slot.codec->name() == "randomk" && slot.delta() < 1;
    drops_most = drops_most || ((is_sparse || is_random) && !slot.traits().expands) || slot.codec->name() == "sign";
    if (why_dense.empty()) why_dense = slot.why_dense;
  }
  if (parts.driver.rank() != 0) return;
  const int64_t steps = parts.options.run.steps;
  if (compress.choice.codec != "none" && smallest_delta == 1)
    log::warn("nothing is compressed, although compress.codec is {}: {}; thinwire plan -c FILE shows it by layer", compress.choice.codec,
              why_dense);
  if (const int64_t start = compress.start.to_steps(steps, parts.options.data.global_batch * parts.task->facts().sample_tokens);
      smallest_delta < 1 && start >= steps)
    log::warn("nothing will be compressed: compress.start is step {} of {}", start, steps);
  const bool gradients_under_adamw = parts.options.exchange.schedule == "every_step" && parts.options.optim.name == "adamw";
  if (drops_most && compress.error_feedback.name == "none" && !gradients_under_adamw)
    log::warn(
        "without error feedback what a codec leaves out of every exchange is lost, and training stalls or diverges; set "
        "compress.error_feedback=ef14 (docs/methods/error_feedback.md)");
  const int64_t exchanges =
      parts.options.exchange.schedule == "local_steps" ? (steps + parts.options.exchange.every - 1) / parts.options.exchange.every : steps;
  if (compress.plan.method != "off" && exchanges < compress.plan.samples)
    log::warn("no plan will be made: compress.plan.samples is {}, and a run of {} steps has {} exchanges", compress.plan.samples, steps,
              exchanges);
  if (parts.driver.size() == 1 && smallest_delta < 1) {
    log::warn(
        "there is one rank: nothing crosses a wire, yet codecs lose precision; start with mpirun or parallel.dp, or set "
        "compress.codec=none");
  }
  if (gradients_under_adamw && parts.options.compress.plan.method != "off" && parts.options.compress.plan.metric != "relative") {
    log::warn(
        "the plan weighs errors by the size of gradients, which AdamW takes out again: set compress.plan.metric=relative "
        "(docs/methods/lgreco.md)");
  }
  if (gradients_under_adamw && parts.options.compress.error_feedback.name == "ef21_sgdm") {
    log::warn("ef21_sgdm gives the optimiser a momentum where AdamW expects a gradient; it is made for optim: {{name: sgd, momentum: 0}}");
  }
  if (gradients_under_adamw && drops_most) {
    log::warn(
        "a codec drops most of every gradient, which trains badly under AdamW{}; with exchange.schedule=local_steps it drops most of the "
        "update instead (docs/methods/choosing.md)",
        compress.error_feedback.name == "none" ? "" : fmt::format(", with error feedback ({}) more so", compress.error_feedback.name));
  }
}

}  // namespace thinwire::trainer
