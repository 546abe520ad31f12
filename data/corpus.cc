#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/sources.h"

namespace thinwire::data {
namespace {

SourceBytes read_source(const DataOptions& options, uint64_t seed) {
  if (options.source == "gcide") return read_gcide(options.gcide_path, kMaxCorpusBytes);
  if (options.source == "text") return read_text(options.files, kMaxCorpusBytes);
  if (options.source == "synthetic") return make_synthetic(seed);
  const std::array<std::string, 3> known = {"gcide", "text", "synthetic"};
  throw ConfigError(fmt::format("data.source: unknown source '{}'{}; there are: {}", options.source, did_you_mean(options.source, known),
                                join(known, ", ")));
}

// Only the tails are copied: the train split keeps the memory that the source filled.
void split(std::vector<uint8_t> bytes, Corpus& corpus) {
  const auto n = static_cast<int64_t>(bytes.size());
  const int64_t test_begin = n * 90 / 100, validation_begin = n * 95 / 100;
  corpus.test.assign(bytes.begin() + test_begin, bytes.begin() + validation_begin);
  corpus.validation.assign(bytes.begin() + validation_begin, bytes.end());
  bytes.resize(static_cast<size_t>(test_begin));
  corpus.train = std::move(bytes);
}

void require_a_window_in_each_split(const Corpus& corpus, int64_t num_bytes, int64_t context) {
  const auto smallest = static_cast<int64_t>(std::min({corpus.train.size(), corpus.test.size(), corpus.validation.size()}));
  if (smallest > context) return;
  std::vector<std::string> fixes;
  // 5 % of 20 * (context + 1) bytes is exactly one window.
  if (!corpus.synthetic) fixes.push_back(fmt::format("give at least {} bytes", with_thousands(20 * (context + 1))));
  if (smallest > 1) fixes.push_back(fmt::format("lower model.context to at most {}", smallest - 1));
  throw DataError(
      fmt::format("too little data: {}: {} bytes, so the smallest split has {} tokens, and a window of model.context {} needs {}: {}",
                  corpus.description, with_thousands(num_bytes), with_thousands(smallest), with_thousands(context),
                  with_thousands(context + 1), join(fixes, " or ")));
}

uint64_t hash_of(const Corpus& corpus) {
  StreamingHash hash;
  for (const auto* tokens : {&corpus.train, &corpus.test, &corpus.validation}) hash.update(bytes_of(std::span(*tokens)));
  return hash.digest();
}

}  // namespace

Corpus load_corpus(const DataOptions& options, uint64_t seed, int64_t context) {
  check(context >= 1, "a window holds at least one token");
  SourceBytes source = read_source(options, seed);
  const auto num_bytes = static_cast<int64_t>(source.bytes.size());
  Corpus corpus;
  corpus.description = std::move(source.description);
  corpus.synthetic = options.source == "synthetic";
  split(std::move(source.bytes), corpus);
  require_a_window_in_each_split(corpus, num_bytes, context);
  corpus.hash = hash_of(corpus);
  corpus.description +=
      fmt::format(": {} tokens to train on, {} to test, {} to validate", with_thousands(static_cast<int64_t>(corpus.train.size())),
                  with_thousands(static_cast<int64_t>(corpus.test.size())), with_thousands(static_cast<int64_t>(corpus.validation.size())));
  return corpus;
}

}  // namespace thinwire::data
