#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <nlohmann/json.hpp>

#include "app/configuration.h"
#include "app/verbs.h"
#include "base/error.h"
#include "config/load.h"
#include "config/values.h"
#include "estimate/report.h"
#include "trainer/estimating.h"

namespace thinwire::app {

namespace {

constexpr std::array kRates = {1e7, 1e8, 1e9, 1e10, 1e11};  // 10 Mbit/s ... 100 Gbit/s
constexpr int kRanks = 2;                                   // where nothing says how many

struct EstimateArguments {
  ConfigArguments config;
  int ranks = 0, ranks_per_host = 1;
  std::string transport = "auto", latency = "1ms", step_time;
  std::vector<std::string> bandwidths;
  bool json = false;
};

template <class Value>
Value require(const std::optional<Value>& parsed, const char* option, const std::string& given, const char* like) {
  if (!parsed) throw ConfigError(fmt::format("{} {}: write it like {}", option, given, like));
  return *parsed;
}

std::vector<estimate::Link> links_of(const EstimateArguments& arguments) {
  const double latency_s = require(config::parse_seconds(arguments.latency), "--latency", arguments.latency, "20ms");
  std::vector<estimate::Link> links;
  for (const auto& text : arguments.bandwidths)
    links.push_back({require(config::parse_rate(text), "--bandwidth", text, "200Mbit"), latency_s});
  if (links.empty()) {
    for (const double rate : kRates) links.push_back({rate, latency_s});
  }
  return links;
}

trainer::Setting setting_of(const EstimateArguments& arguments, const trainer::Options& options, const std::string& transport) {
  trainer::Setting setting;
  setting.ranks = arguments.ranks > 0 ? arguments.ranks : static_cast<int>(options.parallel.dp.value_or(kRanks));
  if (options.parallel.dp && *options.parallel.dp != setting.ranks)
    throw ConfigError(
        fmt::format("--ranks is {}, but parallel.dp is {}: say the same, or leave one of them out", setting.ranks, *options.parallel.dp));
  const bool threads = transport == "loopback";
  setting.ranks_per_process = threads ? setting.ranks : 1;
  setting.ranks_per_host = threads ? setting.ranks : arguments.ranks_per_host;
  return setting;
}

// As `train` alone would have it where the number of ranks is in the configuration, else as mpirun.
std::string transport_of(const EstimateArguments& arguments, const trainer::Options& options) {
  const std::string& asked = arguments.transport == "auto" ? options.comm.transport : arguments.transport;
  if (asked != "auto") return asked;
  return options.parallel.dp && arguments.ranks == 0 ? "loopback" : "mpi";
}

int run_estimate(const EstimateArguments& arguments) {
  trainer::Options options;
  auto root = config::describe_root(options);
  load_into(root, arguments.config);
  estimate::Estimate made;
  made.links = links_of(arguments);
  const double base_bytes = trainer::measured_base_bytes(options);
  const std::string transport = transport_of(arguments, options);
  const trainer::Setting setting = setting_of(arguments, options, transport);
  estimate::Subject subject = trainer::subject_of(options, setting);
  subject.base_bytes = base_bytes + trainer::transport_bytes(transport);
  made.memory = estimate::memory_of(subject);
  made.disk = estimate::disk_of(subject);
  made.wire = estimate::wire_of(subject);
  made.speed.codec_s = trainer::measured_codec_s(subject);
  if (arguments.step_time.empty()) {
    const auto passes = trainer::measured_passes(options, subject);
    made.speed.pass_s = passes.pass_s;
    made.speed.optimizer_s = passes.optimizer_s;
    made.speed_source = "measured here";
  } else {
    const double step_s = require(config::parse_seconds(arguments.step_time), "--step-time", arguments.step_time, "400ms");
    made.speed.pass_s = step_s / static_cast<double>(subject.micro_batches);
    made.speed_source = "given";
  }
  if (arguments.json) {
    auto json = estimate::to_json(subject, made);
    json["transport"] = transport;
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}", estimate::to_text(subject, made));
  }
  return 0;
}

}  // namespace

void add_estimate(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand(
      "estimate", "Forecasts memory by part, bytes on the wire, checkpoints and step times; builds nothing (docs/before_you_start.md)");
  auto arguments = std::make_shared<EstimateArguments>();
  add_config_options(*verb, arguments->config)->required();
  verb->add_option("--ranks", arguments->ranks, "how many; else parallel.dp, or 2")->check(CLI::Range(1, 1 << 20))->type_name("N");
  verb->add_option("--ranks-per-host", arguments->ranks_per_host, "that share a host's memory and link")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  verb->add_option("--transport", arguments->transport, "that joins them; loopback: threads of one process")
      ->check(CLI::IsMember({"auto", "loopback", "mpi", "grpc", "nccl"}));
  verb->add_option("--bandwidth", arguments->bandwidths, "of a host's link, each way: 200Mbit; may be repeated; else 10Mbit to 100Gbit")
      ->type_name("RATE")
      ->allow_extra_args(false);
  verb->add_option("--latency", arguments->latency, "of a message, one way")->type_name("TIME");
  verb->add_option("--step-time", arguments->step_time, "of a step without communication: 400ms; else measured here, in a second")
      ->type_name("TIME");
  verb->add_flag("--json", arguments->json, "everything, in base units");
  verb->callback([arguments, &action] { action = [arguments] { return run_estimate(*arguments); }; });
}

}  // namespace thinwire::app
