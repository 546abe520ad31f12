#include "trainer/metrics.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

namespace thinwire::trainer {

namespace {
double now_s() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

nlohmann::json or_null(const std::optional<double>& value) { return value ? nlohmann::json(*value) : nlohmann::json(nullptr); }

std::string human_duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.0f}s", seconds);
  if (seconds < 3600) return fmt::format("{:.0f}m", seconds / 60);
  return fmt::format("{:.1f}h", seconds / 3600);
}
}  // namespace

void WireLedger::count_outside_steps(uint64_t sent_total, uint64_t received_total) {
  total_sent_ += sent_total - last_sent_;
  last_sent_ = sent_total;
  last_received_ = received_total;
}

void WireLedger::count_background(uint64_t sent_total) {
  total_sent_ += sent_total - last_background_;
  last_background_ = sent_total;
}

void WireLedger::end_step(uint64_t sent_total, uint64_t received_total, bool round_ended) {
  step_sent_ = sent_total - last_sent_;
  step_received_ = received_total - last_received_;
  last_sent_ = sent_total;
  last_received_ = received_total;
  total_sent_ += step_sent_;
  round_sent_ += step_sent_;
  ++total_steps_;
  ++round_steps_;
  if (!round_ended) return;
  if (round_sent_ > 0) ratio_ = dense_per_step_ * static_cast<double>(round_steps_) / static_cast<double>(round_sent_);
  round_sent_ = 0;
  round_steps_ = 0;
}

std::optional<double> WireLedger::ratio_total() const {
  if (total_sent_ == 0) return std::nullopt;
  return dense_per_step_ * static_cast<double>(total_steps_) / static_cast<double>(total_sent_);
}

std::array<int64_t, 4> WireLedger::state() const {
  return {static_cast<int64_t>(total_sent_), total_steps_, static_cast<int64_t>(round_sent_), round_steps_};
}

void WireLedger::restore(const std::array<int64_t, 4>& state) {
  total_sent_ = static_cast<uint64_t>(state[0]);
  total_steps_ = state[1];
  round_sent_ = static_cast<uint64_t>(state[2]);
  round_steps_ = state[3];
}

Metrics::Metrics(const std::filesystem::path& run_directory, int rank, int64_t run_steps, int64_t log_every, int64_t tokens_per_step,
                 const TaskFacts& facts)
    : directory_(run_directory),
      rank_(rank),
      run_steps_(run_steps),
      log_every_(log_every),
      tokens_per_step_(tokens_per_step),
      synthetic_(facts.synthetic),
      rate_(facts.rate) {
  if (rank_ != 0) return;
  const auto path = run_directory / "metrics.jsonl";
  take_out_half_line(path);
  file_.emplace(path);
}

void Metrics::add(const StepTimes& t, uint64_t sent_bytes) {
  StepTimes& sum = interval_.times;
  sum.step_s += t.step_s;
  sum.forward_backward_s += t.forward_backward_s;
  sum.encode_s += t.encode_s;
  sum.wire_s += t.wire_s;
  sum.exposed_comm_s += t.exposed_comm_s;
  sum.optimizer_s += t.optimizer_s;
  interval_.sent_bytes += sent_bytes;
  ++interval_.steps;
}

void Metrics::train(const StepRecord& r, const WireLedger& ledger) {
  const Interval interval = std::exchange(interval_, {});
  if (rank_ != 0) return;
  const double steps = static_cast<double>(std::max<int64_t>(1, interval.steps));
  const auto mean = [&](double StepTimes::*field) { return interval.times.*field / steps; };
  const double step_s = mean(&StepTimes::step_s), tokens_per_s = static_cast<double>(tokens_per_step_) / step_s;
  const int64_t mem_bytes = resident_bytes();
  write(nlohmann::ordered_json{{"ts", now_s()},
                               {"kind", "train"},
                               {"step", r.step},
                               {"loss", r.loss},
                               {"grad_norm", r.grad_norm},
                               {"lr", r.lr},
                               {"tokens_per_s", tokens_per_s},
                               {"step_s", step_s},
                               {"forward_backward_s", mean(&StepTimes::forward_backward_s)},
                               {"encode_s", mean(&StepTimes::encode_s)},
                               {"wire_s", mean(&StepTimes::wire_s)},
                               {"exposed_comm_s", mean(&StepTimes::exposed_comm_s)},
                               {"optimizer_s", mean(&StepTimes::optimizer_s)},
                               {"wire_bytes_tx", ledger.step_sent()},
                               {"wire_bytes_rx", ledger.step_received()},
                               {"wire_bytes_tx_total", ledger.state()[0]},
                               {"dense_bytes", ledger.dense_bytes()},
                               {"ratio", or_null(ledger.ratio())},
                               {"ratio_total", or_null(ledger.ratio_total())},
                               {"residual_norm", r.residual_norm},
                               {"mem_bytes", mem_bytes},
                               {"mem_peak_bytes", peak_resident_bytes()},
                               {"synthetic", synthetic_}});
  const auto ms = [&](double StepTimes::*field) { return mean(field) * 1e3; };
  log::info(
      "{}step {}/{}  loss {:.4f}  gnorm {:.2f}  lr {:.1e}  {} {}  step {:.0f}ms (fwd+bwd {:.0f}, encode {:.0f}, wire {:.0f} exposed "
      "{:.0f}, opt {:.0f})"
      "  sent {}/step{}  mem {}  eta {}",
      synthetic_ ? "[synthetic data] " : "", r.step, run_steps_, r.loss, r.grad_norm, r.lr, rate_,
      with_thousands(static_cast<int64_t>(tokens_per_s)), step_s * 1e3, ms(&StepTimes::forward_backward_s), ms(&StepTimes::encode_s),
      ms(&StepTimes::wire_s), ms(&StepTimes::exposed_comm_s), ms(&StepTimes::optimizer_s),
      human_bytes(static_cast<double>(interval.sent_bytes) / steps), ledger.ratio() ? fmt::format(" x{:.1f}", *ledger.ratio()) : "",
      human_bytes(static_cast<double>(mem_bytes)), human_duration(step_s * static_cast<double>(run_steps_ - r.step)));
}

void Metrics::validation(int64_t step, double loss, const Metric& metric) {
  if (rank_ != 0) return;
  write(nlohmann::ordered_json{{"ts", now_s()}, {"kind", "eval"}, {"step", step}, {"val_loss", loss}, {metric.name, metric.value}});
  log::info("{}eval {}/{}  val_loss {:.4f}  {} {:.4f}", synthetic_ ? "[synthetic data] " : "", step, run_steps_, loss, metric.name,
            metric.value);
}

void Metrics::layers(int64_t step, const std::vector<LayerRecord>& records) {
  if (rank_ != 0) return;
  auto layers = nlohmann::ordered_json::array();
  for (const auto& r : records) {
    layers.push_back({{"name", r.name},
                      {"codec", r.codec},
                      {"elems", r.elems},
                      {"payload_bytes", r.payload_bytes},
                      {"error", or_null(r.error)},
                      {"residual_norm", or_null(r.residual_norm)}});
  }
  write(nlohmann::ordered_json{{"ts", now_s()}, {"kind", "layers"}, {"step", step}, {"layers", layers}});
}

void Metrics::saved(const SaveRecord& r) {
  if (rank_ != 0) return;
  const bool is_good = r.failure.empty();
  write(nlohmann::ordered_json{
      {"ts", now_s()},
      {"kind", "event"},
      {"step", r.step},
      {"event", is_good ? "checkpoint" : "checkpoint_failed"},
      {"detail", is_good ? fmt::format("{:.2f} s, of which training waited {:.2f} s", r.save_s, r.blocked_s) : r.failure},
      {"blocked_s", r.blocked_s},
      {"save_s", r.save_s}});
}

void Metrics::event(int64_t step, const std::string& what, const std::string& detail) {
  if (rank_ != 0) return;
  write(nlohmann::ordered_json{{"ts", now_s()}, {"kind", "event"}, {"step", step}, {"event", what}, {"detail", detail}});
}

void Metrics::show_in_tensorboard(const std::string& resolved_yaml) {
  if (rank_ == 0) board_.emplace(directory_ / "tb", now_s(), first_step_, resolved_yaml);
}

void Metrics::write(const nlohmann::ordered_json& record) {
  if (board_) board_->add(record);
  file_->append(record.dump() + '\n');
}

}  // namespace thinwire::trainer
