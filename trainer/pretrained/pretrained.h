// A trained language model as generating, scoring and exporting want it, from wherever it lies: a run directory (its newest good
// checkpoint), one checkpoint step-N, or a folder in Hugging Face's layout.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "data/tokenizer.h"
#include "models/model.h"
#include "trainer/options.h"
#include "trainer/pretrained/weights.h"

namespace thinwire::trainer {

// What a model is, and where its weights are. Nothing large is in memory.
struct Source {
  std::string description;                        // for the log
  models::ModelOptions model;                     // with vocab
  std::unique_ptr<data::Tokenizer> tokenizer;     // null: the folder has none
  std::optional<int64_t> begin, end;              // tokens: what config.json says, else the tokenizer
  std::map<std::string, std::string> run_config;  // flattened, of the run; empty for a folder
  Weights weights;
};
// CheckpointError with the path and what is wrong; ConfigError for a model that is not one of language.
Source open_source(const std::filesystem::path& path);

struct Pretrained {
  Source source;
  std::unique_ptr<models::Model> model;
};
// `threads`: of the process from now on, within one operation.
Pretrained load_pretrained(const std::filesystem::path& path, int64_t threads = 1);

const data::Tokenizer& tokenizer_of(const Source& source);  // CheckpointError where there is none

// Where a run keeps its tokenizer's files, so that it can be read again wherever the run is moved to.
std::filesystem::path tokenizer_folder(const std::filesystem::path& run_directory);

// model.init, whose weights fill a model that is to be trained. CheckpointError also when `options` ask for another model than there is,
// naming each key with both values.
Source open_init(const models::ModelOptions& options, int64_t vocab_size);
void initialise(const models::Model& model, const models::ModelOptions& options, int64_t vocab_size);

}  // namespace thinwire::trainer
