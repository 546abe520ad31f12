#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "app/command_line.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text.h"
#include "config/load.h"
#include "data/corpus.h"
#include "data/token_files.h"
#include "trainer/pretrained/pretrained.h"

namespace thinwire::app {

namespace fs = std::filesystem;

namespace {

struct PrepareArguments {
  std::vector<std::string> files;
  std::string preset, tokenizer, out;
};

// The section that trains on what was written.
std::string data_section(const fs::path& out, const std::string& tokenizer) {
  const auto path = [&](const char* name) { return config::yaml_scalar((out / name).string()); };
  return fmt::format(
      "# thinwire train -c YOURS -c {}\n# Paths are absolute, so that it can be used from anywhere: change them when the folder moves.\n"
      "data:\n  source: tokens\n  files: [{}]\n  validation_files: [{}]\n  test_files: [{}]\n  tokenizer: {}\n",
      (out / "data.yaml").string(), path("train.bin"), path("validation.bin"), path("test.bin"), tokenizer);
}

// Into `folder`, which will be called `out` when all is there.
void write_all(const fs::path& folder, const fs::path& out, const data::Corpus& corpus, bool is_byte) {
  Progress writing([](double tokens) { return with_thousands(static_cast<int64_t>(tokens)) + " tokens"; });
  for (const auto& [name, tokens] :
       {std::pair("train.bin", &corpus.train), {"test.bin", &corpus.test}, {"validation.bin", &corpus.validation}}) {
    const auto all = static_cast<double>(tokens->size());
    data::write_token_file(
        folder / name, *tokens, corpus.tokenizer->vocab_size(),
        [&, work = fmt::format("writing {}", name)](size_t done) { writing.tell(work, static_cast<double>(done), all); });
  }
  if (!is_byte) {
    for (const auto& [name, content] : corpus.tokenizer->files()) write_text(trainer::tokenizer_folder(folder) / name, content);
  }
  write_text(folder / "data.yaml", data_section(out, is_byte ? "byte" : config::yaml_scalar(trainer::tokenizer_folder(out).string())));
}

int run_prepare(const PrepareArguments& arguments) {
  if (arguments.files.empty() == arguments.preset.empty()) throw ConfigError("name either files of text or --preset gcide");
  const fs::path out = fs::absolute(arguments.out).lexically_normal();
  if (fs::exists(out)) throw ConfigError(fmt::format("--out {}: it exists already; choose another folder, or remove it", arguments.out));
  data::DataOptions options;
  options.source = arguments.preset.empty() ? "text" : arguments.preset;
  options.files = arguments.files;
  options.tokenizer = arguments.tokenizer;
  Progress loading;
  const data::Corpus corpus = data::load_corpus(options, 0, 1, std::nullopt, [&](std::string_view work, size_t done, size_t all) {
    loading.tell(work, static_cast<double>(done), static_cast<double>(all));
  });
  write_folder(out, [&](const fs::path& folder) { write_all(folder, out, corpus, arguments.tokenizer == "byte"); });
  fmt::print("{}\nwritten to {}; train on it with -c {}\n", corpus.description, out.string(), (out / "data.yaml").string());
  return 0;
}

}  // namespace

void add_prepare_data(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("prepare-data", "Turns text into files of tokens once, for data.source tokens");
  auto a = std::make_shared<PrepareArguments>();
  verb->add_option("files", a->files, "files of text, or globs, .gz too");
  verb->add_option("--preset", a->preset, "gcide: the dictionary of the Debian package dict-gcide")->check(one_of({"gcide"}));
  verb->add_option("--tokenizer", a->tokenizer, "byte, or a path, as data.tokenizer")->required();
  verb->add_option("--out", a->out, "folder that is made: train.bin, test.bin, validation.bin, tokenizer/, data.yaml")
      ->required()
      ->type_name("DIR");
  verb->callback([a, &action] { action = [a] { return run_prepare(*a); }; });
}

}  // namespace thinwire::app
