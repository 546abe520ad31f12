#include "trainer/loop.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "base/flight.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/output.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "base/trace.h"
#include "exchange/attach.h"
#include "trainer/agreement.h"
#include "trainer/evaluate.h"
#include "trainer/planning.h"
#include "trainer/stop_signal.h"

namespace thinwire::trainer {

namespace {
// In the order in which backward is done with them.
void report_all_gradients(exchange::Schedule& schedule) {
  for (size_t slot = schedule.exchange().table().slots().size(); slot-- > 0;) schedule.gradient_ready(static_cast<exchange::Slot>(slot));
}

double dense_bytes_per_step(int64_t num_parameters, int world) {
  return 8.0 * static_cast<double>(num_parameters) * (world - 1) / world;  // ring all-reduce of fp32, per rank
}
}  // namespace

Loop::Loop(Parts& parts, const Restored& restored)
    : parts_(parts),
      batches_(*parts.task, parts.options.data.micro_batch, parts.micro_batches, parts.driver.rank(), parts.driver.size()),
      passes_(*parts.model, parts.passes_as_graph),
      metrics_(parts.location.directory, parts.request.dry_run ? Metrics::kSilent : parts.driver.rank(), parts.options.run.steps,
               parts.options.log.every, tokens_per_step(), parts.task->facts()),
      ledger_(dense_bytes_per_step(parts.model->num_parameters(), parts.driver.size())),
      saves_(parts, metrics_, restored.step),
      step_(restored.step),
      restored_how_(restored.how),
      reports_(parts.driver) {
  ledger_.restore(restored.wire_totals);
}

Ended Loop::run() {
  const int64_t last = parts_.options.run.steps;
  if (step_ > 0) {
    if (step_ < last) metrics_.event(step_, "resume", restored_how_);  // a run that is over has its last word said
    log::info("resumed from step {} in {}", step_, parts_.location.source.string());
  }
  if (step_ >= last) {
    log::info("step {} of {} is done already; raise run.steps to train on", step_, last);
    return {};
  }
  count_outside_steps();
  metrics_.started(step_ + 1);
  if (parts_.options.log.tensorboard) metrics_.show_in_tensorboard(parts_.request.resolved_yaml);
  while (step_ < last) {
    const StepResult result = train_step(step_ + 1, step_ + 1 == last);
    ++step_;
    const bool stops = after_step(step_, result);
    parts_.watchdog.first_step_is_done();
    if (stops) {
      const int signal = stop_signal();
      saves_.save_and_wait(step_, ledger_.state());
      metrics_.event(step_, "stopped", fmt::format("signal {}", signal));
      log::info("stopped by a signal at step {}; go on by the same command with --resume auto", step_);
      return ended(ExitCode::requeue);
    }
  }
  finish();
  return ended(ExitCode::ok);
}

Ended Loop::ended(ExitCode code) const {
  if (saves_.last_failure().empty()) return {code};
  const std::string newest =
      saves_.last_saved() == 0 ? "there is no checkpoint" : fmt::format("the newest checkpoint is of step {}", saves_.last_saved());
  return {ExitCode::checkpoint, fmt::format("trained to step {}, but {}; {}: when that is mended, run the same command with --resume auto",
                                            step_, saves_.last_failure(), newest)};
}

Loop::OneStep Loop::try_step() {
  count_outside_steps();
  const StepResult result = train_step(step_ + 1, true);
  const auto counters = parts_.driver.counters();
  ledger_.end_step(counters.sent_bytes, counters.received_bytes, true);
  return {result.loss, result.times.step_s, ledger_.step_sent(), is_dense(step_ + 1)};
}

bool Loop::is_dense(int64_t step) const {
  return step <= parts_.options.compress.start.to_steps(parts_.options.run.steps, tokens_per_step());
}

Loop::StepResult Loop::train_step(int64_t step, bool last) {
  const Options& o = parts_.options;
  exchange::Schedule& schedule = *parts_.schedule;
  StepResult result;
  parts_.watchdog.begin_step(step);
  const auto wire_before = parts_.driver.counters();
  const Stopwatch watch;
  trace::Span computes(trace::Lane::compute, "step", step);
  schedule.begin_step({static_cast<uint64_t>(step), parts_.micro_batches, is_dense(step), last});
  std::vector<at::Tensor> losses;
  for (int64_t micro = 0; micro < parts_.micro_batches; ++micro) {
    const bool is_last = micro + 1 == parts_.micro_batches, calls_hooks = passes_.calls_hooks();
    parts_.armed = is_last && calls_hooks;
    losses.push_back(passes_.run(next_batch(step, micro)));
    if (is_last && !calls_hooks) report_all_gradients(schedule);
  }
  parts_.armed = false;
  for (const auto& loss : losses) result.loss += loss.item<double>() / static_cast<double>(parts_.micro_batches);
  result.times.forward_backward_s = computes.end();

  schedule.reduce();
  trace::Span update(trace::Lane::optimizer, "step", step);
  result.grad_norm = parts_.residence ? clip_global_norm(exchange::tensor_over(schedule.gradients(), parts_.device.at), o.optim.clip)
                                      : clip_global_norm(schedule.gradients(), o.optim.clip);
  require_finite(result, step);
  parts_.optimizer->step(step, learning_rate(o.optim, step, o.run.steps, tokens_per_step()));
  result.times.optimizer_s = update.end();
  schedule.end_step();

  if (schedule.exchanged()) {
    result.times.encode_s = schedule.exchange().last_times().encode_s;
    result.times.exposed_comm_s = schedule.exchange().last_times().exposed_s;
  }
  result.times.wire_s = parts_.driver.counters().busy_s - wire_before.busy_s;
  result.times.step_s = watch.seconds();
  return result;
}

Batch Loop::next_batch(int64_t step, int64_t micro) const {
  const flight::Scope noted(flight::Kind::data, "batch", micro);
  return batches_.get(step, micro);
}

void Loop::require_finite(const StepResult& result, int64_t step) const {
  if (std::isfinite(result.loss) && std::isfinite(result.grad_norm)) return;
  const std::string where = fmt::format("on rank {} at step {}", parts_.driver.rank(), step);
  for (const auto& [name, value, decays] : parts_.model->parameters()) {
    const auto gradient = value.grad().cpu().contiguous();
    for (const float g : std::span(gradient.const_data_ptr<float>(), static_cast<size_t>(gradient.numel()))) {
      if (!std::isfinite(g)) {
        throw NonFiniteError(
            fmt::format("non-finite gradient of '{}' {}: {} (loss {}); a lower optim.lr, a longer optim.warmup or optim.clip "
                        "usually helps",
                        name, where, g, result.loss));
      }
    }
  }
  throw NonFiniteError(fmt::format("non-finite loss {}: {} (gradient norm {})", where, result.loss, result.grad_norm));
}

bool Loop::after_step(int64_t step, const StepResult& result) {
  const Options& o = parts_.options;
  const bool last = step == o.run.steps, exchanged = parts_.schedule->exchanged();
  const auto every = [&](int64_t interval) { return interval > 0 && step % interval == 0; };
  saves_.poll();
  bool stop = collect_report();  // of an earlier step
  const auto counters = parts_.driver.counters();
  ledger_.end_step(counters.sent_bytes, counters.received_bytes, exchanged);
  ledger_.count_background(parts_.driver.background_counters().sent_bytes);
  metrics_.add(result.times, ledger_.step_sent());
  if (metrics_.due(step) || exchanged) post_report(step, result);
  if (exchanged && layers_due(step)) metrics_.layers(step, layer_records(*parts_.exchange, o.compress.error_feedback.name));
  replan(parts_, step, metrics_);
  if (every(o.run.verify_every)) verify_replicas(step);

  const bool evaluates = every(o.eval.every) || last, saves = every(o.checkpoint.every) || last;
  if (evaluates || saves || stop || metrics_.is_first(step)) stop = collect_report() || stop;
  if (stop && !last) return true;
  if (evaluates) {
    const trace::Span span(trace::Lane::evaluation, "step", step);
    const Scores scores = evaluate(*parts_.model, *parts_.task, o.eval, o.data.micro_batch, parts_.driver);
    metric_ = parts_.task->metric(scores);
    metrics_.validation(step, scores.loss, metric_);
  }
  if (last) {
    saves_.save_and_wait(step, ledger_.state());
  } else if (saves) {
    saves_.save(step, ledger_.state());
  }
  return false;
}

void Loop::post_report(int64_t step, const StepResult& result) {
  const Options& o = parts_.options;
  reported_.is_logged = metrics_.due(step);
  reported_.record = {step, 0, result.grad_norm, learning_rate(o.optim, step, o.run.steps, tokens_per_step()), 0};
  if (reported_.is_logged) reported_.record.residual_norm = parts_.exchange->residual_norm();
  const auto grown = parts_.schedule->exchanged() ? parts_.planner->grown() : std::nullopt;
  reports_.post({result.loss, stop_signal(), grown ? static_cast<int32_t>(*grown) : -1});
}

bool Loop::collect_report() {
  if (!reports_.pending()) return false;
  bool stop = false;
  double loss = 0;
  for (const StepReport& report : reports_.collect()) {
    loss += report.loss / parts_.driver.size();
    stop = stop || report.signal != 0;
    if (report.grown_slot >= 0 && static_cast<size_t>(report.grown_slot) < parts_.model->parameters().size()) {
      parts_.planner->fall_back(static_cast<exchange::Slot>(report.grown_slot));
    }
  }
  reported_.record.loss = loss;
  if (reported_.is_logged) metrics_.train(reported_.record, ledger_);
  return stop;
}

// The first round in each interval.
bool Loop::layers_due(int64_t step) {
  const int64_t interval = parts_.options.log.layers_every;
  if (interval == 0 || step < next_layers_) return false;
  next_layers_ = (step / interval + 1) * interval;
  return true;
}

void Loop::verify_replicas(int64_t step) const {
  std::vector<std::string> names;
  std::vector<uint64_t> hashes;
  HostMemory host;
  const auto add = [&](std::string name, ConstBytes memory) {
    names.push_back(std::move(name));
    hashes.push_back(hash64(memory));
  };
  if (parts_.schedule->replicas_agree()) {
    for (const auto& [name, value, decays] : parts_.model->parameters()) {
      add(name, host.of(value));
    }
  }
  for (const auto& piece : parts_.schedule->agreed()) add(piece.name, host.of(piece));
  require_same_bits(parts_.driver, step, names, hashes);
}

void Loop::count_outside_steps() {
  const auto counters = parts_.driver.counters();
  ledger_.count_outside_steps(counters.sent_bytes, counters.received_bytes);
  ledger_.count_background(parts_.driver.background_counters().sent_bytes);
}

void Loop::finish() {
  parts_.watchdog.last_step_is_done();
  count_outside_steps();
  const auto ratio = ledger_.ratio_total();
  const std::string saving = ratio ? fmt::format("ratio_total {:.1f}", *ratio) : "nothing was sent";
  metrics_.event(step_, "done", fmt::format("{} {:.4f}, {}", metric_.name, metric_.value, saving));
  if (parts_.driver.rank() != 0) return;
  show_sample();
  if (ratio) {
    const auto [sent, steps, round_sent, round_steps] = ledger_.state();
    log::info("{}sent {} per rank in {} steps; all-reduce of fp32 gradients at every step would have sent {}: {}", label(),
              human_bytes(static_cast<double>(sent)), steps, human_bytes(ledger_.dense_bytes() * static_cast<double>(steps)), saving);
  }
  log::info("{}{}: {} {:.4f}, run directory {}", label(), saves_.last_failure().empty() ? "done" : "trained", metric_.name, metric_.value,
            parts_.location.directory.string());
}

void Loop::show_sample() const {
  auto shown = parts_.task->sample(*parts_.model);
  if (!shown) return;
  std::string& sample = *shown;
  const auto path = parts_.location.directory / "samples" / fmt::format("step-{:08}.txt", step_);
  try {
    write_text(path, sample + "\n");
  } catch (const Error& e) {
    log::warn("the sample was not saved: {}", e.what());  // a full disk takes no result from a finished run
  }
  for (char& c : sample) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x7f || (byte < 0x20 && c != '\n')) c = '?';
  }
  log::info("\n{}sample ({}):\n{}\n", label(), path.string(), sample);
}

}  // namespace thinwire::trainer
