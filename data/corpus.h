// Where tokens come from: a train, a test and a validation split, each one long row.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "data/options.h"
#include "data/tokenizer.h"
#include "data/tokens.h"

namespace thinwire::data {

struct Corpus {
  std::string description;  // one line for the log; a synthetic one says SYNTHETIC
  bool synthetic = false;
  std::shared_ptr<const Tokenizer> tokenizer;  // what the tokens mean; null: not known (data.tokenizer none)
  Tokens train, test, validation;
  uint64_t hash = 0;  // hash64 of the three splits as they are kept, in a row: a resume on other data is refused
};

// Text in order: the first 90 % of the bytes train, the next 5 % test, the last 5 % validation (rounded down to whole bytes at each cut),
// so that every tokenizer is judged on the same bytes; then each part is turned into tokens. Tokens that are read as such (data.source
// tokens) are cut in the same way, but for validation_files.
//
// Several text files are taken in byte order of their paths, each once, with a newline between two where the first does not end with one.
// `seed` matters to synthetic data only. The same arguments and files give the same Corpus on every machine. `vocab`: what tokens have to
// be below where data.tokenizer is none; else that is the tokenizer's size.
//
// DataError with path, reason and fix when files are missing, unreadable, empty, corrupt, too large, of tokens beyond the vocabulary, or
// too small for one window of `context` + 1 tokens in every split. ConfigError for an unknown source or tokenizer.
//
// `listener` is told now and then what is done ("reading", "encoding"), and how many bytes of the text it has come to; all_bytes 0: not
// known.
using LoadListener = std::function<void(std::string_view work, size_t done_bytes, size_t all_bytes)>;
Corpus load_corpus(const DataOptions& options, uint64_t seed, int64_t context, std::optional<int64_t> vocab = std::nullopt,
                   const LoadListener& listener = {});

// The text of source gcide, text or synthetic as it is, undivided: for `thinwire eval --text`.
std::string load_text(const DataOptions& options, uint64_t seed, const LoadListener& listener = {});

}  // namespace thinwire::data
