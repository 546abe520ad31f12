#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/verbs.h"
#include "base/error.h"
#include "base/text.h"
#include "config/load.h"
#include "data/corpus.h"
#include "trainer/pretrained/pretrained.h"
#include "trainer/pretrained/score.h"

namespace thinwire::app {

namespace {

struct EvalArguments {
  std::string model, split = "validation";
  std::vector<std::string> text;
  int64_t context = 0, batch = 8, threads = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  bool json = false;
};

struct Data {
  data::Tokens tokens;
  std::string description;
};

Data from_files(const trainer::Source& source, const std::vector<std::string>& files) {
  data::DataOptions options;
  options.source = "text";
  options.files = files;
  const data::Tokenizer& tokenizer = trainer::tokenizer_of(source);
  std::vector<int32_t> tokens = tokenizer.encode(data::load_text(options, 0));
  if (tokenizer.begin_of_text()) tokens.insert(tokens.begin(), *tokenizer.begin_of_text());
  return {data::Tokens::pack(tokens, tokenizer.vocab_size()), join(files, ", ")};
}

// What the run was configured to train and validate on.
Data from_run(const trainer::Source& source, const std::string& split) {
  if (source.run_config.empty())
    throw ConfigError(fmt::format("{} is no run, so it knows of no data: give --text FILE", source.description));
  trainer::Options options;
  options.model.vocab = source.model.vocab;
  auto root = config::describe_root(options);
  config::load(root, {},
               config::as_sets(source.run_config, [](const std::string& key) { return key.starts_with("data.") || key == "run.seed"; }));
  data::Corpus corpus = data::load_corpus(options.data, static_cast<uint64_t>(options.run.seed), source.model.context, source.model.vocab);
  data::Tokens& tokens = split == "train" ? corpus.train : split == "test" ? corpus.test : corpus.validation;
  return {std::move(tokens), fmt::format("{} split of {}", split, corpus.description)};
}

int run_eval(const EvalArguments& arguments) {
  const trainer::Pretrained loaded = trainer::load_pretrained(arguments.model, arguments.threads);
  const trainer::Source& source = loaded.source;
  if (arguments.context > source.model.context) {
    throw ConfigError(fmt::format("--context {} is more than the model's {}", arguments.context, source.model.context));
  }
  const Data data = arguments.text.empty() ? from_run(source, arguments.split) : from_files(source, arguments.text);
  if (data.tokens.size() < 2)
    throw DataError(fmt::format("{}: {} tokens; there is nothing to predict", data.description, data.tokens.size()));
  const auto score = trainer::score_tokens(*loaded.model, data.tokens, source.tokenizer.get(),
                                           arguments.context > 0 ? arguments.context : source.model.context, arguments.batch);
  nlohmann::ordered_json record = {{"model", source.description},
                                   {"data", data.description},
                                   {"tokens", score.tokens},
                                   {"loss", score.loss()},
                                   {"perplexity", score.perplexity()}};
  if (score.bytes > 0) record.update({{"bytes", score.bytes}, {"bits_per_byte", score.bits_per_byte()}});
  if (arguments.json) {
    fmt::print("{}\n", record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}: {} tokens of {}  loss {:.4f}  perplexity {:.4f}{}\n", source.description, with_thousands(score.tokens),
               data.description, score.loss(), score.perplexity(),
               score.bytes > 0 ? fmt::format("  bits_per_byte {:.4f}", score.bits_per_byte()) : "");
  }
  return 0;
}

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("eval", "Scores a model on a text: loss, perplexity and bits per byte");
  auto a = std::make_shared<EvalArguments>();
  verb->add_option("model", a->model, "run directory, checkpoint step-N, or folder in Hugging Face's layout")->required();
  verb->add_option("--text", a->text, "files of text, or globs, .gz too; without: what the run was configured to validate on")
      ->type_name("FILE");
  verb->add_option("--split", a->split, "of the run's own data")->check(CLI::IsMember({"train", "test", "validation"}));
  verb->add_option("--context", a->context, "tokens per window; 0: as many as the model was made for")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  verb->add_option("--batch", a->batch, "windows at a time")->check(CLI::Range(int64_t{1}, int64_t{65536}));
  verb->add_option("--threads", a->threads, "within one operation")->check(CLI::Range(int64_t{1}, int64_t{1024}));
  verb->add_flag("--json", a->json, "one JSON object in place of the line");
  verb->callback([a, &action] { action = [a] { return run_eval(*a); }; });
}

}  // namespace thinwire::app
