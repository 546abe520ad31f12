// Forward and backward of one micro-batch: what a step spends its time on.
//
// On a GPU they may be a CUDA graph (models/graph): the first passes run as they are, then one is recorded, and from then on replayed. It
// is recorded anew when gradients have moved.
#pragma once
#include <memory>
#include <vector>

#include "models/graph/graph.h"
#include "models/model.h"
#include "trainer/task.h"

namespace thinwire::trainer {

class Passes {
 public:
  // `as_graph`: where graphs can be made. All batches have one shape.
  Passes(const models::Model& model, bool as_graph);

  // Adds the batch's gradients to every parameter's `.grad`; returns the loss, a scalar on the model's device without history.
  at::Tensor run(const Batch& batch);
  // Will the next run call the parameters' hooks as gradients become ready? Else they are to do nothing: a recording calls them too early,
  // a replay not at all.
  bool calls_hooks() const { return graph_ == nullptr || passes_left_ > 0; }

 private:
  at::Tensor run_now(const Batch& batch);
  void record(const Batch& batch);
  std::vector<const void*> places_of_gradients() const;

  const models::Model& model_;
  std::unique_ptr<models::Graph> graph_;
  int passes_left_ = 0;  // until it is recorded
  Batch fixed_;          // what the graph reads
  at::Tensor loss_;      // what it writes
  std::vector<const void*> places_;
};

}  // namespace thinwire::trainer
