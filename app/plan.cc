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

// A fallback comes after the plan, or without one.
void print_fallbacks(const std::string& run) {
  if (!fs::exists(fs::path(run) / "metrics.jsonl")) return;
  for (const auto& event : report::read_run(run).events) {
    if (event.what != "dense_fallback") continue;
    fmt::print("since step {} '{}' travels dense, whatever stands above: its residual outgrew its bound (compress.fallback)\n", event.step,
               event.detail);
  }
}

int show_plan(PlanArguments arguments) {
  if (arguments.run.empty() == arguments.config.files.empty()) {
    throw ConfigError("name either a run directory (thinwire plan runs/NAME) or a configuration (thinwire plan -c FILE)");
  }
  if (!arguments.run.empty()) {
    if (const auto path = newest_plan(arguments.run)) {
      std::fputs((config::read_file(*path).yaml).c_str(), stdout);
      print_fallbacks(arguments.run);
      return 0;
    }
    const fs::path config = fs::path(arguments.run) / "config.yaml";
    if (!fs::exists(config))
      throw ConfigError(fmt::format("{} is no run directory: it has no config.yaml; {}", arguments.run, what_is_there(config)));
    std::puts("This run has made no plan; as configured:");
    arguments.config.files.push_back(config.string());
  }
  print_configured(arguments.config);
  if (!arguments.run.empty()) print_fallbacks(arguments.run);
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
