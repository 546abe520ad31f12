#include "trainer/pretrained/pretrained.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "base/listing.h"
#include "base/text.h"
#include "checkpoint/newest.h"
#include "checkpoint/saved_model.h"
#include "config/load.h"
#include "trainer/pretrained/hf_config.h"

namespace thinwire::trainer {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMaxConfigBytes = 1'000'000;
constexpr const char* kConfigName = "config.json";

bool has_tokenizer(const fs::path& folder) { return fs::exists(folder / "tokenizer.json") || fs::exists(folder / "tokenizer.model"); }

Source open_folder(const fs::path& folder) {
  const std::string config_path = (folder / kConfigName).string();
  const HfConfig config = parse_hf_config(checkpoint::read_text(config_path, kMaxConfigBytes), config_path);
  Source source;
  source.description = folder.string();
  source.model = config.model;
  source.begin = config.begin;
  source.end = config.end;
  source.weights = weights_of_folder(folder, config.model.tie_embeddings);
  if (has_tokenizer(folder)) source.tokenizer = data::make_tokenizer(folder.string());
  if (source.tokenizer && source.tokenizer->vocab_size() > *config.model.vocab) {
    throw CheckpointError(fmt::format("{}: vocab_size is {}, but its tokenizer has {} tokens", config_path, *config.model.vocab,
                                      source.tokenizer->vocab_size()));
  }
  return source;
}

// The sections of a run's configuration that say what its model and its tokens are.
void restore(Options& options, const std::map<std::string, std::string>& saved, const std::string& where) {
  auto root = config::describe_root(options);
  try {
    const auto says_what = [](const std::string& key) { return key.starts_with("model.") || key.starts_with("data."); };
    config::load(root, {}, config::as_sets(saved, says_what));
  } catch (const ConfigError& e) {
    throw CheckpointError(fmt::format("{}: its configuration is not one of this version: {}", where, e.what()));
  }
}

Source open_checkpoint(const fs::path& path) {
  const fs::path step = checkpoint::find_checkpoint(path, checkpoint::Needs::model, "a folder in Hugging Face's layout has config.json");
  Source source;
  source.description = step.string();
  source.run_config = checkpoint::SavedModel(step).facts().config;
  Options options;
  restore(options, source.run_config, step.string());
  if (options.model.sees_images())
    throw ConfigError(fmt::format("{}: model.type is {}, which is no language model", step.string(), options.model.type));
  const fs::path kept = tokenizer_folder(step.parent_path().parent_path());
  if (options.data.tokenizer != "none") source.tokenizer = data::make_tokenizer(fs::exists(kept) ? kept.string() : options.data.tokenizer);
  source.model = options.model;
  source.model.init.clear();
  source.weights = weights_of_checkpoint(step);
  const auto embedding = source.weights.tensors.find("model.embed_tokens.weight");
  if (embedding == source.weights.tensors.end() || embedding->second.shape.size() != 2) {
    throw CheckpointError(step.string() + ": it holds no embedding of tokens");
  }
  source.model.vocab = embedding->second.shape[0];
  if (source.tokenizer) {
    source.begin = source.tokenizer->begin_of_text();
    source.end = source.tokenizer->end_of_text();
  }
  return source;
}

// A foreign config.json must not make us take memory for a model that is not there. Which tensors do not fit, load_weights() says.
void require_plausible(const Source& source) {
  const models::ModelOptions& model = source.model;
  const auto d = static_cast<double>(model.d_model),
             kv_share = static_cast<double>(model.kv_heads.value_or(model.heads)) / static_cast<double>(model.heads);
  const double block = (2 + 2 * kv_share) * d * d + 3 * d * static_cast<double>(model.ffn_width());
  const double wanted = static_cast<double>(model.layers) * block + static_cast<double>(*model.vocab) * d;
  double there = 0;
  for (const auto& [name, tensor] : source.weights.tensors) {
    there += static_cast<double>(checkpoint::num_bytes(DType::u8, tensor.shape).value_or(0));
  }
  if (wanted <= 4 * there + 1e6) return;
  throw CheckpointError(fmt::format("{}: its configuration is of a model of {:.3g} parameters, and its tensors have {:.3g} elements",
                                    source.description, wanted, there));
}

}  // namespace

fs::path tokenizer_folder(const fs::path& run_directory) { return run_directory / "tokenizer"; }

Source open_source(const fs::path& path) {
  if (!fs::exists(path))
    throw CheckpointError(fmt::format("{}: there is no such file or directory; {}", path.string(), what_is_there(path)));
  if (!fs::is_directory(path))
    throw CheckpointError(fmt::format("{}: it is a file, and a model is a folder: name the folder that it lies in", path.string()));
  return fs::exists(path / kConfigName) ? open_folder(path) : open_checkpoint(path);
}

Pretrained load_pretrained(const fs::path& path, int64_t threads) {
  at::set_num_threads(static_cast<int>(threads));
  Pretrained loaded{open_source(path), nullptr};
  require_plausible(loaded.source);
  loaded.model = models::make_model(loaded.source.model, *loaded.source.model.vocab, 0);
  load_weights(*loaded.model, loaded.source.weights);
  return loaded;
}

const data::Tokenizer& tokenizer_of(const Source& source) {
  if (source.tokenizer) return *source.tokenizer;
  throw CheckpointError(fmt::format("{}: there is no tokenizer with it (tokenizer.json or tokenizer.model)", source.description));
}

Source open_init(const models::ModelOptions& options, int64_t vocab_size) {
  Source source = open_source(options.init);
  std::vector<std::string> lines;
  const auto compare = [&](const char* key, const auto& wanted, const auto& there) {
    if (wanted != there) lines.push_back(fmt::format("  {}: config {}, there {}", key, wanted, there));
  };
  compare("model.d_model", options.d_model, source.model.d_model);
  compare("model.layers", options.layers, source.model.layers);
  compare("model.heads", options.heads, source.model.heads);
  compare("model.kv_heads", options.kv_heads.value_or(options.heads), source.model.kv_heads.value_or(source.model.heads));
  compare("model.ffn", options.ffn_width(), source.model.ffn_width());
  compare("model.vocab", vocab_size, *source.model.vocab);
  compare("model.tie_embeddings", options.tie_embeddings, source.model.tie_embeddings);
  compare("model.rope_theta", options.rope_theta, source.model.rope_theta);
  compare("model.norm_eps", options.norm_eps, source.model.norm_eps);
  if (!lines.empty()) {
    throw CheckpointError(
        fmt::format("model.init {} is another model than the configuration asks for:\n{}\n`thinwire import {}` prints the "
                    "section that fits it",
                    options.init, join(lines, "\n"), options.init));
  }
  return source;
}

void initialise(const models::Model& model, const models::ModelOptions& options, int64_t vocab_size) {
  load_weights(model, open_init(options, vocab_size).weights);
}

}  // namespace thinwire::trainer
