#include "trainer/precision.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <set>

#include "base/stopwatch.h"
#include "models/autocast.h"
#include "trainer/agreement.h"

namespace thinwire::trainer {

namespace {
constexpr int64_t kMostSide = 512;  // of a matrix that is tried: larger ones are not multiplied faster
constexpr int64_t kMostRows = 256;
constexpr int kMostRounds = 7;
constexpr double kProbe_s = 0.5;  // after which no further product is begun, but one in each mode
constexpr double kWorthwhile = 1.1;

using Shape = std::pair<int64_t, int64_t>;

std::set<Shape> matrices_of(const models::Model& model) {
  std::set<Shape> shapes;
  for (const auto& parameter : model.parameters()) {
    if (parameter.value.dim() == 2)
      shapes.insert({std::min(parameter.value.size(0), kMostSide), std::min(parameter.value.size(1), kMostSide)});
  }
  return shapes;
}

// One product of (rows, in) by an (out, in) matrix, and the two of its backward pass.
class Product {
 public:
  Product(const Shape& shape, int64_t rows)
      : x_(at::linspace(-1, 1, rows * shape.second).view({rows, shape.second}).set_requires_grad(true)),
        weight_(at::linspace(-1, 1, shape.first * shape.second).view({shape.first, shape.second}).set_requires_grad(true)) {}

  at::Tensor value(const std::string& mode) const {
    set_process_precision(mode);
    std::optional<models::Autocast> autocast;
    if (mode == "bf16") autocast.emplace();
    return at::linear(x_, weight_);
  }
  double seconds(const std::string& mode) const {
    const Stopwatch watch;
    const auto y = value(mode);
    torch::autograd::grad({y}, {x_, weight_}, {at::ones_like(y)});
    return watch.seconds();
  }
  double gflop() const { return 6e-9 * static_cast<double>(x_.size(0) * weight_.numel()); }

 private:
  at::Tensor x_, weight_;
};

// By mode. They take turns, and of each product the least time counts: what else the machine does hits all alike.
std::vector<double> gflops_per_s(const std::vector<std::string>& modes, const std::set<Shape>& shapes, int64_t rows) {
  const Stopwatch watch;
  double gflop = 0;
  std::vector<double> total_s(modes.size(), 0);
  for (const Shape& shape : shapes) {
    const Product product(shape, rows);
    std::vector<double> least_s(modes.size(), std::numeric_limits<double>::infinity());
    for (int round = 0; round < kMostRounds && (round == 0 || watch.seconds() < kProbe_s); ++round) {
      for (size_t i = 0; i < modes.size(); ++i) least_s[i] = std::min(least_s[i], product.seconds(modes[i]));
    }
    for (size_t i = 0; i < modes.size(); ++i) total_s[i] += least_s[i];
    gflop += product.gflop();
    if (watch.seconds() > kProbe_s) break;
  }
  std::vector<double> rates;
  for (const double s : total_s) rates.push_back(gflop / s);
  return rates;
}

// Where a CPU has no faster way, LibTorch computes medium as fp32: no choice, and no difference that noise could make.
bool medium_rounds(const Shape& shape, int64_t rows) {
  const c10::AutoGradMode no_grad(false);
  const Product product(shape, rows);
  return !at::equal(product.value("medium"), product.value("fp32"));
}

Precision probe(const models::Model& model, int64_t all_rows) {
  const auto shapes = matrices_of(model);
  if (shapes.empty()) return {"fp32", "the model multiplies by no matrix"};
  const int64_t rows = std::min(all_rows, kMostRows);
  std::vector<std::string> modes = {"fp32", "medium", "bf16"};
  const bool has_medium = medium_rounds(*shapes.rbegin(), rows);
  if (!has_medium) std::erase(modes, "medium");
  const auto rates = gflops_per_s(modes, shapes, rows);
  std::vector<std::string> measured;
  size_t fastest = 0;
  for (size_t i = 0; i < modes.size(); ++i) {
    measured.push_back(fmt::format("{} {:.0f}", modes[i], rates[i]));
    if (rates[i] > kWorthwhile * rates[fastest]) fastest = i;
  }
  return {modes[fastest],
          fmt::format("products of this model's shapes, Gflop/s: {}{}{}", fmt::join(measured, ", "),
                      has_medium ? "" : ", medium is fp32 on this CPU", fastest == 0 ? "; less precision gains nothing" : "")};
}
}  // namespace

void set_process_precision(const std::string& used) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const bool medium = used == "medium";
  if ((at::globalContext().float32MatmulPrecision() == at::Float32MatmulPrecision::MEDIUM) == medium) return;
  at::globalContext().setFloat32MatmulPrecision(medium ? "medium" : "highest");
}

Precision choose_precision(comm::Driver& driver, const std::string& asked, const models::Model& model, int64_t rows) {
  if (asked != "auto") return {asked, ""};
  const auto device = model.parameters()[0].value.device();
  if (!device.is_cpu()) return {"bf16", "a GPU's tensor cores multiply it fastest"};
  Precision chosen;
  on_rank_zero(driver, "choosing a precision", [&] { chosen = probe(model, rows); });
  chosen.used = broadcast_text(driver, "choosing a precision", chosen.used);
  chosen.reason = broadcast_text(driver, "choosing a precision", chosen.reason);
  return chosen;
}

std::unique_ptr<models::Model> apply_precision(const Precision& precision, std::unique_ptr<models::Model> model) {
  set_process_precision(precision.used);
  return precision.used == "bf16" ? models::in_bf16(std::move(model)) : std::move(model);
}

}  // namespace thinwire::trainer
