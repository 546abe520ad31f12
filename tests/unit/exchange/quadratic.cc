#include "tests/unit/exchange/quadratic.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

#include "base/draw.h"
#include "compressors/topk/topk.h"
#include "exchange/feedback/bucket_feedback.h"

namespace thinwire::exchange::testing {

using compressors::Layer;

namespace {
constexpr size_t kNoise = size_t{1} << 16;
constexpr double kFar = 1e9;

// The workers' round: what they send, and the mean of it.
class Round {
 public:
  explicit Round(const FeedbackOptions& options)
      : codec_(
            std::make_shared<compressors::TopkCodec>(compressors::TopkOptions{.density = Quadratic::kDelta, .chunk = Quadratic::kElems})),
        table_({{.name = "x", .rows = 1, .cols = Quadratic::kElems, .codec = codec_}}, 1'000'000) {
    for (size_t w = 0; w < Quadratic::kWorkers; ++w) {
      policies_.push_back(make_error_feedback(options, table_, 1));
      workers_.emplace_back(policies_.back().get(), 0);
    }
    const auto traits = codec_->traits(kLayer);
    scratch_.resize((traits.scratch_bytes + 63) / 64);
    payload_.resize(traits.worst_bytes);
    context_.scratch = std::as_writable_bytes(std::span(scratch_)).first(traits.scratch_bytes);
  }

  // Replaces every gradient; the mean, or what it stands for, is in the first.
  void run(std::vector<std::vector<float>>& gradients) {
    std::vector<float> mean(Quadratic::kElems, 0.0f);
    const bool dense = policies_[0]->needs_dense_round(0);
    for (size_t w = 0; w < gradients.size(); ++w) dense ? send_dense(w, gradients[w], mean) : send(w, gradients[w], mean);
    for (size_t w = 0; w < gradients.size(); ++w) {
      gradients[w] = mean;
      dense ? workers_[w].dense_received(gradients[w]) : workers_[w].received(gradients[w]);
    }
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  static constexpr Layer kLayer{.id = 0, .rows = 1, .cols = Quadratic::kElems};
  static constexpr float kWeight = 1.0f / Quadratic::kWorkers;

  void send_dense(size_t w, const std::vector<float>& g, std::vector<float>& mean) {
    workers_[w].dense(g, 1);
    for (size_t i = 0; i < g.size(); ++i) mean[i] += kWeight * g[i];
  }
  void send(size_t w, std::vector<float>& g, std::vector<float>& mean) {
    workers_[w].open(g, 1, false);
    const size_t bytes = codec_->encode(kLayer, workers_[w].in(0, 0, g.data()), context_, payload_.data());
    const ConstBytes payload(payload_.data(), bytes);
    std::vector<float> decoded(g.size(), 0.0f);
    codec_->decode_add(kLayer, payload, 1, decoded.data(), context_);
    workers_[w].sent(g.size(), decoded);
    codec_->decode_add(kLayer, payload, kWeight, mean.data(), context_);
  }

  std::shared_ptr<const compressors::Codec> codec_;
  SlotTable table_;
  std::vector<std::unique_ptr<ErrorFeedback>> policies_;
  std::vector<BucketFeedback> workers_;
  std::vector<Line> scratch_;
  std::vector<std::byte> payload_;
  compressors::Context context_;
};

}  // namespace

Quadratic::Quadratic() : optimum_(kElems), noise_(kNoise) {
  const Draw draw = Draw(kSeed).fork("quadratic");
  std::vector<double> weight(kElems);
  for (size_t w = 0; w < kWorkers; ++w) {
    const Draw a = draw.fork("a").fork(w), b = draw.fork("b").fork(w);
    curvature_.emplace_back(kElems), centre_.emplace_back(kElems);
    for (size_t i = 0; i < kElems; ++i) {
      curvature_[w][i] = static_cast<float>(0.1 + 0.9 * a.uniform(i));
      centre_[w][i] = static_cast<float>(3 * b.normal(i));
      weight[i] += curvature_[w][i];
      optimum_[i] += static_cast<double>(curvature_[w][i]) * centre_[w][i];
    }
  }
  for (size_t i = 0; i < kElems; ++i) optimum_[i] /= weight[i];
  const Draw normal = draw.fork("noise");
  for (size_t i = 0; i < kNoise; ++i) noise_[i] = static_cast<float>(normal.normal(i));
  const double mean = std::accumulate(noise_.begin(), noise_.end(), 0.0) / kNoise;
  for (float& x : noise_) x -= static_cast<float>(mean);
}

void Quadratic::gradient(size_t worker, const std::vector<double>& x, const Setting& setting, uint64_t step, Row& g) const {
  const size_t from = Draw(kSeed).fork("place").fork(worker).below(step, kNoise);
  for (size_t i = 0; i < kElems; ++i) {
    const double noise = setting.sigma * noise_[(from + i) % kNoise];
    g[i] = static_cast<float>(curvature_[worker][i] * (x[i] - centre_[worker][i]) + noise);
  }
}

double Quadratic::distance(const std::optional<FeedbackOptions>& policy, const Setting& setting) const {
  std::optional<Round> round;
  if (policy) round.emplace(*policy);
  std::vector<double> x(kElems, 0.0);
  std::vector<Row> gradients(kWorkers, Row(kElems));
  double sum = 0;
  const uint64_t tail = setting.steps / 10;
  for (uint64_t step = 1; step <= setting.steps; ++step) {
    for (size_t w = 0; w < kWorkers; ++w) gradient(w, x, setting, step, gradients[w]);
    if (round) round->run(gradients);
    double squares = 0;
    for (size_t i = 0; i < kElems; ++i) {
      double update = gradients[0][i];
      for (size_t w = 1; w < kWorkers && !round; ++w) update += gradients[w][i];
      x[i] -= setting.gamma * (round ? update : update / kWorkers);
      squares += (x[i] - optimum_[i]) * (x[i] - optimum_[i]);
    }
    if (!(squares < kFar)) return std::numeric_limits<double>::infinity();
    if (step > setting.steps - tail) sum += squares;
  }
  return sum / static_cast<double>(tail);
}

}  // namespace thinwire::exchange::testing
