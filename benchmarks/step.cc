// bench_step: a training step of the fused model against the same model of LibTorch's own operations (docs/benchmarks.md).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/error.h"
#include "models/autocast.h"
#include "models/llama.h"
#include "tests/unit/models/eager_llama.h"
#include "main.h"
#include "timing.h"
#include "trainer/optimizer.h"
#include "trainer/precision.h"

namespace thinwire::benchmarks {
namespace {

constexpr int64_t kVocab = 256, kSequences = 4, kVerifiedSteps = 5;

struct Arguments {
  std::string only_model, only_precision;
  int rounds = 15;
};

models::ModelOptions options_of(const std::string& name) {
  models::ModelOptions o;  // the demo's
  if (name == "10m") {
    o.d_model = 320;
    o.layers = 8;
    o.heads = 5;
  }
  return o;
}

// What the tensors of this thread take up, allocated while this lives.
class LiveBytes : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override { live_ += bytes; }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t live() const { return live_; }

 private:
  int64_t live_ = 0;
};

enum class Kind { fused, eager };

// A model in training: forward, backward, clipping and AdamW on batches of random tokens, the same for both kinds.
class Training {
 public:
  Training(Kind kind, const models::ModelOptions& options, std::string precision)
      : kind_(kind), precision_(std::move(precision)), llama_(options, kVocab, 1), flat_(static_cast<size_t>(llama_.num_parameters())) {
    size_t at = 0;
    for (const auto& p : llama_.parameters()) {
      p.value.mutable_grad() = at::from_blob(flat_.data() + at, p.value.sizes(), at::kFloat);
      at += static_cast<size_t>(p.value.numel());
    }
    optim_.lr = 1e-3;
    optimizer_ = trainer::make_optimizer(optim_, llama_.parameters());
  }

  double step() {
    std::ranges::fill(flat_, 0.0f);
    const at::Tensor now = loss();
    now.backward();
    trainer::clip_global_norm(flat_, optim_.clip);
    optimizer_->step(++steps_, optim_.lr);
    return now.item<double>();
  }

  int64_t bytes_kept_for_backward() {
    const auto counter = std::make_shared<LiveBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
    const at::Tensor now = loss();
    return counter->live();
  }

 private:
  at::Tensor loss() const {
    auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(steps_));
    const auto tokens = at::randint(0, kVocab, {kSequences, llama_.context() + 1}, generator, at::kLong);
    const auto inputs = tokens.narrow(1, 0, llama_.context()).contiguous(), targets = tokens.narrow(1, 1, llama_.context()).contiguous();
    std::optional<models::Autocast> autocast;
    if (precision_ == "bf16") autocast.emplace();
    return kind_ == Kind::fused ? llama_.loss(inputs, targets) : models::EagerLlama(llama_).loss(inputs, targets);
  }

  Kind kind_;
  std::string precision_;
  models::Llama llama_;
  std::vector<float> flat_;
  trainer::OptimOptions optim_;
  std::unique_ptr<trainer::Optimizer> optimizer_;
  int64_t steps_ = 0;
};

// Both must follow the same curve before they are timed.
void verify(Training& fused, Training& eager, const std::string& precision) {
  const double bound = precision == "fp32" ? 1e-4 : 3e-2;
  for (int64_t i = 0; i < kVerifiedSteps; ++i) {
    const double a = fused.step(), b = eager.step();
    check(std::abs(a - b) <= bound * b, fmt::format("losses of step {}: fused {}, eager {}", i + 1, a, b).c_str());
  }
}

double quantile(std::vector<double> values, double part) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(std::lround(part * static_cast<double>(values.size() - 1)))];
}

nlohmann::ordered_json row_of(const std::string& model, const std::string& precision, int rounds) {
  const auto options = options_of(model);
  trainer::set_process_precision(precision);
  Training fused(Kind::fused, options, precision), eager(Kind::eager, options, precision);
  verify(fused, eager, precision);
  const auto seconds = interleaved(
      rounds, [&] { return seconds_of([&] { fused.step(); }); }, [&] { return seconds_of([&] { eager.step(); }); });
  std::vector<double> ratios;
  for (size_t i = 0; i < seconds[0].size(); ++i) ratios.push_back(seconds[1][i] / seconds[0][i]);
  const auto tokens = static_cast<double>(kSequences * options.context);
  return {{"model", model},
          {"precision", precision},
          {"fused_tokens_per_s", tokens / quantile(seconds[0], 0.5)},
          {"eager_tokens_per_s", tokens / quantile(seconds[1], 0.5)},
          {"ratio", quantile(ratios, 0.5)},
          {"ratio_low", quantile(ratios, 0.1)},
          {"ratio_high", quantile(ratios, 0.9)},
          {"fused_kept_bytes", fused.bytes_kept_for_backward()},
          {"eager_kept_bytes", eager.bytes_kept_for_backward()}};
}

int run(const Arguments& arguments) {
  stay_on_one_core();
  at::set_num_threads(1);
  fmt::print("tokens a second of CPU time, one thread, {} tokens a step, {} pairs: median ratio, and where 8 of 10 lie\n", kSequences * 256,
             arguments.rounds);
  fmt::print("{:<6} {:<9} {:>11} {:>11} {:>6} {:>13} {:>14} {:>14}\n", "model", "precision", "fused tok/s", "eager tok/s", "x", "",
             "fused keeps MB", "eager keeps MB");
  std::vector<nlohmann::ordered_json> rows;
  for (const std::string model : {"demo", "10m"}) {
    for (const std::string precision : {"fp32", "medium", "bf16"}) {
      if ((!arguments.only_model.empty() && arguments.only_model != model) ||
          (!arguments.only_precision.empty() && arguments.only_precision != precision))
        continue;
      const auto row = rows.emplace_back(row_of(model, precision, arguments.rounds));
      const auto number = [&](const char* key) { return row[key].get<double>(); };
      fmt::print("{:<6} {:<9} {:>11.0f} {:>11.0f} {:>6.3f} {:>5.3f} to {:>5.3f} {:>14.1f} {:>14.1f}\n", model, precision,
                 number("fused_tokens_per_s"), number("eager_tokens_per_s"), number("ratio"), number("ratio_low"), number("ratio_high"),
                 1e-6 * number("fused_kept_bytes"), 1e-6 * number("eager_kept_bytes"));
      std::fflush(stdout);
    }
  }
  for (const auto& row : rows) fmt::print("{}\n", row.dump());
  return 0;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main(int argc, char** argv) {
  thinwire::benchmarks::Arguments arguments;
  CLI::App app("Times training steps of the fused Llama against the same of LibTorch's own operations, in turn, on one core.",
               "bench_step");
  app.add_option("--model", arguments.only_model, "this one alone")->check(CLI::IsMember({"demo", "10m"}));
  app.add_option("--precision", arguments.only_precision, "this one alone")->check(CLI::IsMember({"fp32", "medium", "bf16"}));
  app.add_option("--rounds", arguments.rounds, "pairs of steps that are timed")->check(CLI::Range(1, 10000));
  return thinwire::benchmarks::parse_and_run(app, argc, argv, [&] { return thinwire::benchmarks::run(arguments); });
}
