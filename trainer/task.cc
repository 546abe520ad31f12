#include "trainer/task.h"

#include <algorithm>

#include "trainer/image_task.h"
#include "trainer/text_task.h"

namespace thinwire::trainer {

int64_t spread(int64_t last, int64_t i, int64_t total) {
  const int64_t intervals = std::max<int64_t>(1, total - 1);
  return static_cast<int64_t>(static_cast<double>(last) * static_cast<double>(i) / static_cast<double>(intervals));
}

std::unique_ptr<Task> make_task(const Options& options) {
  const auto seed = static_cast<uint64_t>(options.run.seed);
  if (options.data.images()) return std::make_unique<ImageTask>(data::load_images(options.data), seed);
  return std::make_unique<TextTask>(data::load_corpus(options.data, seed, options.model.context),
                                    data::make_tokenizer(options.data.tokenizer), options.model.context, seed);
}

}  // namespace thinwire::trainer
