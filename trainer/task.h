// What a run trains for: its data as batches, and how its validation is told. The loop knows tasks only by this seam; text and images are
// the two that there are.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

#include "data/tokenizer.h"
#include "models/model.h"
#include "trainer/options.h"

namespace thinwire::trainer {

struct Batch {
  at::Tensor inputs, targets;  // text: int64 (B, T), targets are the tokens one later; images: fp32 (B, 1, H, W) and int64 (B)
};

struct TaskFacts {
  std::string description;     // of the data: one line for the log
  bool synthetic = false;      // made-up data: every line that tells a figure says so
  uint64_t hash = 0;           // of the data: a resume on other data is refused
  int64_t num_classes = 0;     // values that a target can have
  int64_t sample_tokens = 1;   // what a sample counts in tokens_per_s and in amounts such as 1e9tok: an image counts 1
  std::string input;           // "context 256", "images of 28 x 28"
  std::string samples, units;  // "sequences" of "tokens"; "images" and "images"
  std::string rate;            // "tok/s", "img/s"
  std::shared_ptr<const data::Tokenizer> tokenizer;  // of text; null where there is none
};

// Over validation batches.
struct Scores {
  double loss = 0;          // nats per target
  double accuracy = 0;      // share of the targets that have the highest score; 0 where the metric does not need it
  double target_bytes = 1;  // of text that a target stands for; 0 where that is not known
};

struct Metric {
  std::string name;  // "val_bpb", "val_accuracy"
  double value = 0;
};

// Immutable once made: the data, and pure functions of sample numbers.
class Task {
 public:
  virtual ~Task() = default;
  const TaskFacts& facts() const { return facts_; }

  // Global samples first ... first + count - 1 of the training order, counted from 0 over the whole run.
  virtual Batch train_batch(int64_t first, int64_t count) const = 0;
  // Samples first ... first + count - 1 of `total` that are spread evenly over the validation split.
  virtual Batch validation_batch(int64_t first, int64_t count, int64_t total) const = 0;
  virtual Scores score(const models::Model& model, const Batch& batch) const = 0;
  virtual Metric metric(const Scores& mean) const = 0;  // what is told beside the loss
  // Something to look at from the trained model; nullopt where there is nothing to show.
  virtual std::optional<std::string> sample(const models::Model& model) const = 0;

 protected:
  explicit Task(TaskFacts facts) : facts_(std::move(facts)) {}

 private:
  TaskFacts facts_;
};

// Place i of `total` that are spread evenly over [0, last], both ends included.
int64_t spread(int64_t last, int64_t i, int64_t total);

// The task that data.source asks for, with its data loaded: DataError when that cannot be.
std::unique_ptr<Task> make_task(const Options& options);

}  // namespace thinwire::trainer
