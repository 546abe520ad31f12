#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "app/configuration.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/listing.h"
#include "config/load.h"
#include "exchange/plan.h"
#include "report/run_record.h"
#include "trainer/options.h"
#include "trainer/planning.h"

namespace fs = std::filesystem;

namespace thinwire::app {

namespace {

struct PlanArguments {
  ConfigArguments config;
  std::string run;
};

// What the last plan of a run says, as the run wrote it down; nothing when it made none.
std::optional<fs::path> newest_plan(const fs::path& run) {
  std::optional<fs::path> newest;
  if (!fs::is_directory(run / "plans")) return newest;
  for (const auto& entry : fs::directory_iterator(run / "plans")) {
    if (!newest || *newest < entry.path()) newest = entry.path();
  }
  return newest;
}

void print_configured(const ConfigArguments& arguments) {
  trainer::Options options;
  auto root = config::describe_root(options);
  load_into(root, arguments);
  const auto slots = trainer::checked_slots(options);
  const int ranks = static_cast<int>(options.parallel.dp.value_or(2));
  std::fputs(compressors::format_table(exchange::configured_plan(slots, ranks)).c_str(), stdout);
}

// They come after the plan, or without one. Of all that is kept of a run nothing else need be whole for it.
void print_fallbacks(const fs::path& run) {
  const fs::path metrics = run / "metrics.jsonl";
  if (!fs::exists(metrics)) return;
  report::RunRecord record;
  report::read_metrics(config::read_file(metrics).yaml, metrics.string(), record);
  for (const auto& event : record.events) {
    if (event.what != "dense_fallback") continue;
    fmt::print("since step {} '{}' travels dense, whatever stands above: its residual outgrew its bound (compress.fallback)\n", event.step,
               event.detail);
  }
}

void show_run(PlanArguments arguments) {
  if (const auto path = newest_plan(arguments.run)) {
    std::fputs((config::read_file(*path).yaml).c_str(), stdout);
  } else {
    const fs::path config = fs::path(arguments.run) / "config.yaml";
    if (!fs::exists(config))
      throw ConfigError(fmt::format("{} is no run directory: it has no config.yaml; {}", arguments.run, what_is_there(config)));
    std::puts("This run has made no plan; as configured:");
    arguments.config.files.push_back(config.string());
    print_configured(arguments.config);
  }
  print_fallbacks(arguments.run);
}

int show_plan(const PlanArguments& arguments) {
  if (arguments.run.empty() == arguments.config.files.empty()) {
    throw ConfigError("name either a run directory (thinwire plan runs/NAME) or a configuration (thinwire plan -c FILE)");
  }
  if (arguments.run.empty())
    print_configured(arguments.config);
  else
    show_run(arguments);
  return 0;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto* verb =
      app.add_subcommand("plan", "Shows by layer: the codec, its error where it was measured, bytes, and why it is not compressed");
  auto arguments = std::make_shared<PlanArguments>();
  add_config_options(*verb, arguments->config);
  verb->add_option("run", arguments->run, "run directory: the newest plan that it made");
  verb->callback([arguments, &action] { action = [arguments] { return show_plan(*arguments); }; });
}

}  // namespace thinwire::app
