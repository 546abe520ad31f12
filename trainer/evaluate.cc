#include "trainer/evaluate.h"

#include <c10/core/GradMode.h>

#include "base/flight.h"
#include "trainer/agreement.h"

namespace thinwire::trainer {

Scores evaluate(const models::Model& model, const Task& task, const EvalOptions& options, int64_t micro_batch, comm::Driver& driver) {
  const c10::AutoGradMode no_grad(false);
  Scores mine{0, 0, 0}, all{0, 0, 0};  // sums
  const auto add = [](Scores& to, const Scores& more) {
    to.loss += more.loss;
    to.accuracy += more.accuracy;
    to.target_bytes += more.target_bytes;
  };
  for (int64_t b = driver.rank(); b < options.batches; b += driver.size()) {
    const flight::Scope noted(flight::Kind::evaluation, "batch", b);
    add(mine, task.score(model, task.validation_batch(b * micro_batch, micro_batch, options.batches * micro_batch)));
  }
  for (const Scores& part : gather_values(driver, "validation", mine)) add(all, part);
  const auto batches = static_cast<double>(options.batches);  // of equal size
  return {all.loss / batches, all.accuracy / batches, all.target_bytes / batches};
}

}  // namespace thinwire::trainer
