// What is trained on: the section `data` of a configuration.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/section.h"

namespace thinwire::data {

struct DataOptions {
  std::string source = "gcide";               // gcide | text | synthetic | tokens: a Corpus; fashion_mnist: Images
  std::vector<std::string> files;             // text: paths or globs, .gz is unpacked; tokens: of token_files.h
  std::vector<std::string> validation_files;  // tokens: those to validate on; empty: the last 5 % of files
  std::vector<std::string> test_files;        // tokens: the test split, beside validation_files; empty: none
  std::string format = "auto";                // tokens: auto: what the file says; uint16 | uint32: there is nothing but tokens in it
  std::string gcide_path;                     // empty: where the Debian package dict-gcide puts it
  std::string fashion_mnist_path;             // empty: where the Debian package dataset-fashion-mnist puts it
  std::string tokenizer = "byte";             // byte, none (source tokens) or a path: tokenizer.h
  int64_t global_batch = 8;                   // samples (sequences, images) per optimiser step, over all ranks
  int64_t micro_batch = 4;                    // samples per forward pass of one rank

  bool images() const { return source == "fashion_mnist"; }  // load_images, not load_corpus
};
void describe(config::Section& section, DataOptions& options);

}  // namespace thinwire::data
