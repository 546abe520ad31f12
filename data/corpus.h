// Where tokens come from: a train, a test and a validation split, each one long span in memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/options.h"
#include "data/tokenizer.h"

namespace thinwire::data {

struct Corpus {
  std::string description;  // one line for the log; a synthetic one says SYNTHETIC
  bool synthetic = false;
  std::vector<uint8_t> train, test, validation;  // byte tokens; wider tokens come with the tokenizer that needs them
  uint64_t hash = 0;                             // hash64 of the three splits in a row: a resume on other data is refused
};

// The bytes in order: the first 90 % train, the next 5 % test, the last 5 % validation (rounded down to whole bytes at each cut).
//
// Several text files are taken in byte order of their paths, each once, with a newline between two where the first does not end with one.
// `seed` matters to synthetic data only. The same arguments and files give the same Corpus on every machine.
//
// DataError with path, reason and fix when files are missing, unreadable, empty, corrupt gzip, more than 8 GB, or too small for one window
// of `context` + 1 tokens in every split.
Corpus load_corpus(const DataOptions& options, uint64_t seed, int64_t context);

}  // namespace thinwire::data
