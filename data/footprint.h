// What the data of a run take in memory, from the sizes of its files: before anything is loaded.
#pragma once
#include "data/options.h"

namespace thinwire::data {

struct Footprint {
  double kept_bytes = 0;     // for the whole run, by each rank; files of data.source tokens are mapped, and shared by the ranks of a host
  double loading_bytes = 0;  // at most, while they are loaded; the kept ones included
  bool is_mapped = false;
  bool is_known = true;  // false: there are no such files here
};

// Packed files are taken at the size that they state. Text under a tokenizer other than byte at four bytes a token: English under the usual
// vocabularies. Throws nothing for files that are missing or damaged: loading them does.
Footprint footprint(const DataOptions& options);

}  // namespace thinwire::data
