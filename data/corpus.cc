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
#include "data/token_files.h"

namespace thinwire::data {
namespace {

SourceBytes read_source(const DataOptions& options, uint64_t seed, const LoadListener& listener) {
  const ReadListener told = [&listener](size_t num_bytes) {
    if (listener) listener("reading", num_bytes, 0);
  };
  if (options.source == "gcide") return read_gcide(options.gcide_path, kMaxCorpusBytes, told);
  if (options.source == "text") return read_text(options.files, kMaxCorpusBytes, told);
  if (options.source == "synthetic") return make_synthetic(seed);
  const std::array<std::string, 3> known = {"gcide", "text", "synthetic"};
  throw ConfigError(fmt::format("data.source: unknown source '{}'{}; there are: {}", options.source, did_you_mean(options.source, known),
                                join(known, ", ")));
}

constexpr std::array<std::string_view, 3> kSplitNames = {"train", "test", "validation"};

// Cuts [0, n) into 90 %, 5 % and 5 %: the ends of the first two.
std::array<size_t, 2> cuts(size_t n) { return {n / 100 * 90 + n % 100 * 90 / 100, n / 100 * 95 + n % 100 * 95 / 100}; }

void split(const Tokens& all, Corpus& corpus) {
  const auto [test_begin, validation_begin] = cuts(all.size());
  corpus.train = all.slice(0, test_begin);
  corpus.test = all.slice(test_begin, validation_begin - test_begin);
  corpus.validation = all.slice(validation_begin, all.size() - validation_begin);
}

std::string_view text_of(const Tokens& bytes) {
  if (bytes.size() == 0) return "";
  const ConstBytes piece = bytes.pieces().front().bytes;
  return {reinterpret_cast<const char*>(piece.data()), piece.size()};
}

// From byte tokens to those of a tokenizer.
void encode(Corpus& corpus, const LoadListener& listener) {
  if (!corpus.tokenizer) throw ConfigError("the tokenizer is none, but text needs one: say byte, or the path of a tokenizer");
  const size_t all = corpus.train.size() + corpus.test.size() + corpus.validation.size();
  size_t before = 0;
  for (Tokens* tokens : {&corpus.train, &corpus.test, &corpus.validation}) {
    const std::string_view text = text_of(*tokens);
    const auto told = [&](size_t done) {
      if (listener) listener("encoding", before + std::min(done, text.size()), all);
    };
    auto encoded = Tokens::pack(corpus.tokenizer->encode(text, told), corpus.tokenizer->vocab_size());
    before += text.size();
    *tokens = std::move(encoded);
  }
}

void require_a_window_in_each_split(const Corpus& corpus, const std::string& amount, bool is_cut, int64_t context) {
  const std::array<const Tokens*, 3> splits = {&corpus.train, &corpus.test, &corpus.validation};
  size_t smallest = 0;
  for (size_t i = 1; i < splits.size(); ++i) {
    const bool is_there = is_cut || i != 1;  // with validation_files there need be no test split
    if (is_there && splits[i]->size() < splits[smallest]->size()) smallest = i;
  }
  const auto size = static_cast<int64_t>(splits[smallest]->size());
  if (size > context) return;
  std::vector<std::string> fixes;
  // 5 % of 20 * (context + 1) is exactly one window.
  if (!corpus.synthetic) {
    fixes.push_back(is_cut ? fmt::format("give at least {} {}", with_thousands(20 * (context + 1)), amount.substr(amount.rfind(' ') + 1))
                           : fmt::format("give more tokens to the {} split", kSplitNames[smallest]));
  }
  if (size > 1) fixes.push_back(fmt::format("lower model.context to at most {}", size - 1));
  throw DataError(fmt::format("too little data: {}: {}, so the smallest split has {} tokens, and a window of model.context {} needs {}: {}",
                              corpus.description, amount, with_thousands(size), with_thousands(context), with_thousands(context + 1),
                              join(fixes, " or ")));
}

uint64_t hash_of(const Corpus& corpus) {
  StreamingHash hash;
  for (const Tokens* tokens : {&corpus.train, &corpus.test, &corpus.validation}) {
    for (const Tokens::Piece& piece : tokens->pieces()) hash.update(piece.bytes);
  }
  return hash.digest();
}

void load_text_corpus(const DataOptions& options, uint64_t seed, int64_t context, const LoadListener& listener, Corpus& corpus) {
  SourceBytes source = read_source(options, seed, listener);
  const std::string amount = with_thousands(static_cast<int64_t>(source.bytes.size())) + " bytes";
  corpus.description = std::move(source.description);
  corpus.synthetic = options.source == "synthetic";
  split(Tokens(std::move(source.bytes)), corpus);
  if (options.tokenizer != "byte") encode(corpus, listener);
  require_a_window_in_each_split(corpus, amount, true, context);
}

void load_token_corpus(const DataOptions& options, int64_t context, std::optional<int64_t> vocab, Corpus& corpus) {
  TokenFiles files = read_token_files(options.files, options.format);
  corpus.description = std::move(files.description);
  const std::string amount = with_thousands(static_cast<int64_t>(files.tokens.size())) + " tokens";
  if (options.validation_files.empty()) {
    split(files.tokens, corpus);
  } else {
    corpus.train = std::move(files.tokens);
    corpus.validation = read_token_files(options.validation_files, options.format).tokens;
    if (!options.test_files.empty()) corpus.test = read_token_files(options.test_files, options.format).tokens;
  }
  const int64_t limit = corpus.tokenizer ? corpus.tokenizer->vocab_size() : vocab.value();
  for (const Tokens* tokens : {&corpus.train, &corpus.test, &corpus.validation}) tokens->require_below(limit);
  require_a_window_in_each_split(corpus, amount, options.validation_files.empty(), context);
}

}  // namespace

Corpus load_corpus(const DataOptions& options, uint64_t seed, int64_t context, std::optional<int64_t> vocab, const LoadListener& listener) {
  check(context >= 1, "a window holds at least one token");
  Corpus corpus;
  if (options.tokenizer != "none") corpus.tokenizer = make_tokenizer(options.tokenizer);
  if (options.source == "tokens") {
    load_token_corpus(options, context, vocab, corpus);
  } else {
    load_text_corpus(options, seed, context, listener, corpus);
  }
  corpus.hash = hash_of(corpus);
  corpus.description +=
      fmt::format(": {} tokens to train on, {} to test, {} to validate{}", with_thousands(static_cast<int64_t>(corpus.train.size())),
                  with_thousands(static_cast<int64_t>(corpus.test.size())), with_thousands(static_cast<int64_t>(corpus.validation.size())),
                  options.tokenizer == "byte" ? ""
                  : corpus.tokenizer          ? "; " + corpus.tokenizer->description()
                                              : "");
  return corpus;
}

std::string load_text(const DataOptions& options, uint64_t seed, const LoadListener& listener) {
  const SourceBytes source = read_source(options, seed, listener);
  return {source.bytes.begin(), source.bytes.end()};
}

}  // namespace thinwire::data
