#include "trainer/task.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
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
  Progress progress;
  const bool tells = log::rank() == 0;
  data::Corpus corpus = data::load_corpus(options.data, seed, options.model.context, options.model.vocab,
                                          [&](std::string_view work, size_t done, size_t all) {
                                            if (tells) progress.tell(work, static_cast<double>(done), static_cast<double>(all));
                                          });
  const int64_t known = corpus.tokenizer ? corpus.tokenizer->vocab_size() : *options.model.vocab;
  const int64_t vocab_size = options.model.vocab.value_or(known);
  if (vocab_size < known) {
    throw ConfigError(fmt::format("model.vocab is {}, but {} has {} tokens: set model.vocab: auto, or {} at least", vocab_size,
                                  corpus.tokenizer->description(), known, known));
  }
  return std::make_unique<TextTask>(std::move(corpus), vocab_size, options.model.context, seed);
}

}  // namespace thinwire::trainer
