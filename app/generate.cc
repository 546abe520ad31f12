#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <thread>

#include "app/verbs.h"
#include "base/error.h"
#include "models/generate.h"
#include "trainer/pretrained/pretrained.h"

namespace thinwire::app {

namespace {

struct GenerateArguments {
  std::string model, prompt;
  models::SamplingOptions sampling = {.temperature = 0.8, .top_k = 40};
  int64_t max_tokens = 256, threads = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  uint64_t seed = 1;
  bool no_kv_cache = false;
};

void say(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw Error(ExitCode::other, "the text cannot be written to standard output");
  }
}

std::vector<int64_t> prompt_tokens(const trainer::Source& source, const std::string& prompt) {
  const auto tokens = trainer::tokenizer_of(source).encode(prompt);
  std::vector<int64_t> all(tokens.begin(), tokens.end());
  if (source.tokenizer->begin_of_text()) all.insert(all.begin(), *source.tokenizer->begin_of_text());
  if (all.empty()) throw ConfigError("--prompt is empty, and this model's tokenizer has no token that begins a text: give some text");
  return all;
}

int run_generate(const GenerateArguments& arguments) {
  const trainer::Pretrained loaded = trainer::load_pretrained(arguments.model, arguments.threads);
  const std::vector<int64_t> tokens = prompt_tokens(loaded.source, arguments.prompt);
  const data::Tokenizer& tokenizer = *loaded.source.tokenizer;
  models::GenerateOptions options{arguments.sampling, arguments.max_tokens, loaded.source.end};
  if (arguments.no_kv_cache) options.past = models::GenerateOptions::Past::recomputed;
  say(arguments.prompt);
  models::generate(*loaded.model, loaded.source.model.context, tokens, options, Draw(arguments.seed).fork("generate"), [&](int64_t token) {
    if (token < tokenizer.vocab_size()) say(tokenizer.bytes_of(static_cast<int32_t>(token)));  // a padded vocabulary has more
  });
  if (isatty(STDOUT_FILENO) != 0) say("\n");
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("generate", "Continues a text: to standard output, as it comes");
  auto a = std::make_shared<GenerateArguments>();
  verb->add_option("model", a->model, "run directory, checkpoint step-N, or folder in Hugging Face's layout")->required();
  verb->add_option("--prompt", a->prompt, "the text that is continued")->type_name("TEXT");
  verb->add_option("--temperature", a->sampling.temperature, "scores are divided by it; 0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--top-k", a->sampling.top_k, "of the k likeliest tokens; 0: of all")->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  verb->add_option("--top-p", a->sampling.top_p, "of the fewest tokens that have this probability together; 1: of all")
      ->check(CLI::Range(1e-6, 1.0));
  verb->add_option("--seed", a->seed, "of every draw: the same seed gives the same text");
  verb->add_option("--max-tokens", a->max_tokens, "stop after so many, if the text has not ended before")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb->add_option("--threads", a->threads, "within one operation")->check(CLI::Range(int64_t{1}, int64_t{1024}));
  verb->add_flag("--no-kv-cache", a->no_kv_cache, "pass the whole window through the model for each token: slow, for comparison");
  verb->callback([a, &action] { action = [a] { return run_generate(*a); }; });
}

}  // namespace thinwire::app
