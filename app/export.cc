// Models out and in: export and import.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>

#include "app/command_line.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/text.h"
#include "config/load.h"
#include "trainer/pretrained/hf_export.h"

namespace thinwire::app {

namespace fs = std::filesystem;

namespace {

struct ExportArguments {
  std::string model, out, dtype = "fp32", format = "hf";
  double shard_gigabytes = 5;
};

int run_export(const ExportArguments& arguments) {
  if (arguments.out.empty()) throw ConfigError("--out is empty: name the folder that is to be made");
  if (fs::exists(arguments.out))
    throw ConfigError(fmt::format("--out {}: it exists already; choose another folder, or remove it", arguments.out));
  const trainer::Pretrained loaded = trainer::load_pretrained(arguments.model);
  const DType dtype = arguments.dtype == "bf16" ? DType::bf16 : DType::f32;
  trainer::export_to_folder(loaded, arguments.out, {dtype, static_cast<uint64_t>(arguments.shard_gigabytes * 1e9)});
  fmt::print("{}: {} parameters in {} to {}{}\n", loaded.source.description, with_thousands(loaded.model->num_parameters()),
             arguments.dtype, arguments.out,
             loaded.source.tokenizer ? ", tokenizer: " + loaded.source.tokenizer->description() : "; without a tokenizer");
  return 0;
}

// What data.tokenizer has to say for the tokens to be this model's: a run keeps its own, unless they are bytes.
std::string tokenizer_for(const trainer::Source& source, const std::string& folder) {
  if (!source.tokenizer) return "byte";
  if (source.run_config.empty()) return folder;
  const fs::path step = fs::absolute(source.description).lexically_normal();
  const fs::path kept = trainer::tokenizer_folder(step.parent_path().parent_path());
  return fs::exists(kept) ? kept.string() : source.run_config.at("data.tokenizer");
}

// Everything is checked that a training would be refused for: shapes and types of all tensors.
int run_import(const std::string& folder) {
  const trainer::Pretrained loaded = trainer::load_pretrained(folder);
  trainer::Options options;
  options.model = loaded.source.model;
  options.model.init = fs::absolute(folder).lexically_normal().string();  // what is printed may be used from anywhere
  options.data.tokenizer = tokenizer_for(loaded.source, options.model.init);
  trainer::Options plain;
  auto root = config::describe_root(options), defaults = config::describe_root(plain);
  const auto before = config::flatten(defaults);
  fmt::print("# {} parameters of {}; train from them with: thinwire train -c YOURS -c THIS_FILE\n",
             with_thousands(loaded.model->num_parameters()), loaded.source.description);
  constexpr std::array kOfResNet = {"model.width", "model.stages", "model.blocks", "model.groups"};
  std::string model, data;
  for (const auto& [key, value] : config::flatten(root)) {
    const bool is_path = key == "model.init" || key == "data.tokenizer";
    // The whole shape, defaults too: what stands in YOURS must not mix with it.
    const bool is_of_model = key.starts_with("model.") && std::ranges::find(kOfResNet, key) == kOfResNet.end();
    if (is_of_model || value != before.at(key))
      (is_of_model ? model : data) +=
          fmt::format("  {}: {}\n", key.substr(key.find('.') + 1), is_path ? config::yaml_scalar(value) : value);
  }
  fmt::print("model:\n{}", model);
  if (!loaded.source.tokenizer) fmt::print("# there is no tokenizer in the folder: set data.tokenizer to the one that this model knows\n");
  if (!data.empty()) fmt::print("data:\n{}", data);
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("export", "Writes a model as Hugging Face's transformers reads it");
  auto a = std::make_shared<ExportArguments>();
  verb->add_option("model", a->model, "run directory, checkpoint step-N, or folder in Hugging Face's layout")->required();
  verb->add_option("--out", a->out, "folder that is made")->required()->type_name("DIR");
  verb->add_option("--format", a->format, "hf: config.json, safetensors and the tokenizer's files")->check(one_of({"hf"}));
  verb->add_option("--dtype", a->dtype, "of the tensors")->check(one_of({"fp32", "bf16"}));
  verb->add_option("--shard-size", a->shard_gigabytes, "gigabytes of tensors per file, at most")
      ->check(CLI::Range(1e-6, 1e6))
      ->type_name("GB");
  verb->callback([a, &action] { action = [a] { return run_export(*a); }; });
}

void add_import(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("import", "Checks a Llama in Hugging Face's layout, and prints the configuration that trains from it");
  auto folder = std::make_shared<std::string>();
  verb->add_option("folder", *folder, "with config.json and model.safetensors or its shards")->required();
  verb->callback([folder, &action] { action = [folder] { return run_import(*folder); }; });
}

}  // namespace thinwire::app
