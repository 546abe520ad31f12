// Which samples are whose.
#pragma once
#include "trainer/task.h"

namespace thinwire::trainer {

// Training batches in the global order: step s (from 1) takes samples (s - 1) * global_batch ..., of which rank r's micro-batch m takes the
// block r * micro_batches + m. So N ranks see what one rank with N times the micro-batches sees, in the same order.
class TrainBatches {
 public:
  TrainBatches(const Task& task, int64_t micro_batch, int64_t micro_batches, int rank, int world)
      : task_(task), micro_batch_(micro_batch), micro_batches_(micro_batches), rank_(rank), world_(world) {}
  Batch get(int64_t step, int64_t micro) const {
    return task_.train_batch((step - 1) * global_batch() + (rank_ * micro_batches_ + micro) * micro_batch_, micro_batch_);
  }
  int64_t global_batch() const { return micro_batch_ * micro_batches_ * world_; }

 private:
  const Task& task_;
  int64_t micro_batch_, micro_batches_;
  int rank_, world_;
};

}  // namespace thinwire::trainer
