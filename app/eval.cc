#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/command_line.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/text.h"
#include "checkpoint/safetensors.h"
#include "config/load.h"
#include "data/corpus.h"
#include "trainer/pretrained/pretrained.h"
#include "trainer/pretrained/score.h"

namespace thinwire::app {

namespace {

struct EvalArguments {
  std::string model, split = "validation", logits;
  std::vector<std::string> text;
  int64_t context = 0, batch = 8, threads = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  bool json = false;
};

struct Data {
  data::Tokens tokens;
  std::string description;
};

// Told while text is read and encoded.
data::LoadListener listener_of(Progress& progress) {
  return [&progress](std::string_view work, size_t done, size_t all) {
    progress.tell(work, static_cast<double>(done), static_cast<double>(all));
  };
}

Data from_files(const trainer::Source& source, const std::vector<std::string>& files) {
  data::DataOptions options;
  options.source = "text";
  options.files = files;
  const data::Tokenizer& tokenizer = trainer::tokenizer_of(source);
  Progress progress;
  const auto listener = listener_of(progress);
  std::vector<int32_t> tokens;
  {
    const std::string text = data::load_text(options, 0, listener);
    tokens = tokenizer.encode(text, [&](size_t done) { listener("encoding", std::min(done, text.size()), text.size()); });
  }
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
  Progress progress;
  data::Corpus corpus = data::load_corpus(options.data, static_cast<uint64_t>(options.run.seed), source.model.context, source.model.vocab,
                                          listener_of(progress));
  if (split == "test" && corpus.test.size() == 0) {
    throw DataError(
        fmt::format("{} has no test split: its tokens are in files, and data.test_files names none for it", source.description));
  }
  data::Tokens& tokens = split == "train" ? corpus.train : split == "test" ? corpus.test : corpus.validation;
  return {std::move(tokens), fmt::format("{} split of {}", split, corpus.description)};
}

// What the model says of each token, for comparisons with other programs: "targets" int64 (tokens) and "logits" fp32 (tokens, vocabulary).
class LogitsFile {
 public:
  LogitsFile(std::string path, size_t tokens, int64_t vocab) : path_(std::move(path)), vocab_(vocab) {
    if (path_.empty()) return;
    constexpr size_t kMostBytes = size_t{4} << 30;
    const size_t bytes = tokens * static_cast<size_t>(vocab) * sizeof(float);
    if (bytes > kMostBytes) {
      throw ConfigError(fmt::format("--logits {}: {} tokens of a vocabulary of {} are {}; give a shorter text with --text", path_,
                                    with_thousands(static_cast<int64_t>(tokens)), vocab, human_bytes(static_cast<double>(bytes))));
    }
  }
  void keep(const trainer::Scored& scored) {
    if (path_.empty()) return;
    const auto append = [](auto& to, const at::Tensor& from) {
      using T = typename std::decay_t<decltype(to)>::value_type;
      const at::Tensor flat = from.contiguous();
      to.insert(to.end(), flat.const_data_ptr<T>(), flat.const_data_ptr<T>() + flat.numel());
    };
    append(targets_, scored.targets);
    append(logits_, scored.logits);
  }
  void write() const {
    if (path_.empty()) return;
    const auto tokens = static_cast<int64_t>(targets_.size());
    checkpoint::write_safetensors(path_,
                                  {{"targets", DType::i64, {tokens}, bytes_of(std::span(targets_))},
                                   {"logits", DType::f32, {tokens, vocab_}, bytes_of(std::span(logits_))}},
                                  {});
  }

 private:
  const std::string path_;
  const int64_t vocab_;
  std::vector<int64_t> targets_;
  std::vector<float> logits_;
};

// How the text was cut, as that is part of what the figures mean.
std::string windows_of(const trainer::TextScore& score, int64_t context) {
  if (score.windows == 1) return fmt::format("in one window of {}", score.last_window);
  return fmt::format("in {} windows of {}{}", with_thousands(score.windows), context,
                     score.last_window == context ? "" : fmt::format(", the last of {}", score.last_window));
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
  const int64_t context = arguments.context > 0 ? arguments.context : source.model.context;
  Progress progress([](double tokens) { return with_thousands(static_cast<int64_t>(tokens)) + " tokens"; });
  LogitsFile logits(arguments.logits, data.tokens.size(), source.model.vocab.value());
  const auto score = trainer::score_tokens(*loaded.model, data.tokens, source.tokenizer.get(), context, arguments.batch,
                                           [&](const trainer::Scored& scored) {
                                             progress.tell("scoring", static_cast<double>(scored.done), static_cast<double>(scored.all));
                                             logits.keep(scored);
                                           });
  logits.write();
  nlohmann::ordered_json record = {{"model", source.description},     {"data", data.description}, {"tokens", score.tokens},
                                   {"windows", score.windows},        {"context", context},       {"loss", score.loss()},
                                   {"perplexity", score.perplexity()}};
  if (score.bytes > 0) record.update({{"bytes", score.bytes}, {"bits_per_byte", score.bits_per_byte()}});
  if (arguments.json) {
    fmt::print("{}\n", record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}: {} tokens of {} {}  loss {:.4f}  perplexity {:.4f}{}\n", source.description, with_thousands(score.tokens),
               data.description, windows_of(score, context), score.loss(), score.perplexity(),
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
  auto* split = verb->add_option("--split", a->split, "of the run's own data");
  split->check(one_of({"train", "test", "validation"}));
  verb->add_option("--context", a->context, "tokens per window; 0: as many as the model was made for")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  verb->add_option("--batch", a->batch, "windows at a time")->check(CLI::Range(int64_t{1}, int64_t{65536}));
  verb->add_option("--threads", a->threads, "within one operation")->check(CLI::Range(int64_t{1}, int64_t{1024}));
  verb->add_option("--logits", a->logits, "write what the model says of each token to this .safetensors file")->type_name("FILE");
  verb->add_flag("--json", a->json, "one JSON object in place of the line");
  verb->callback([a, split, &action] {
    if (split->count() > 0 && !a->text.empty())
      throw ConfigError("--split is of the run's own data, and --text names others: leave one of them out");
    action = [a] { return run_eval(*a); };
  });
}

}  // namespace thinwire::app
