#include "tools/netlab/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>

#include "config/values.h"

namespace thinwire::netlab {

namespace {
constexpr int64_t kLeastQueueBytes = 256'000;

constexpr const char* kDescription =
    "Runs a command on emulated hosts that are joined by slow links: mpirun spreads its ranks over them, anything else runs on the "
    "first.\n\n"
    "  netlab [OPTIONS] -- COMMAND...\n"
    "  netlab [OPTIONS] --measure\n"
    "  netlab --on HOST WORDS...        within a command that netlab runs: on that host, through a shell, as ssh does\n\n"
    "Exit codes: the command's; 2 usage, 77 this machine cannot do it (no root, no TUN device), 124 the deadline has passed.\n"
    "Example: netlab --hosts 2 --rate 200Mbit --delay 10ms -- mpirun -n 2 build/thinwire train -c configs/quickstart.yaml";

// As text, read by `parse`, which returns an optional; within [least, most].
template <class T, class Parse, class Take>
void add(CLI::App& app, const std::string& name, const std::string& help, const std::string& accepted, Parse parse, T least, T most,
         Take take) {
  app.add_option_function<std::string>(
         name,
         [=](const std::string& text) {
           const auto value = parse(text);
           if (!value || *value < least || *value > most) throw ConfigError(fmt::format("{}: '{}' is not {}", name, text, accepted));
           take(*value);
         },
         help)
      ->type_name("");
}

void add_options(CLI::App& app, Arguments& arguments) {
  using namespace config;
  auto& wire = arguments.wire;
  const auto integer = [](const std::string& text) { return parse_integer(text); };
  const auto seconds = [](const std::string& text) { return parse_seconds(text); };
  add<int64_t>(app, "--hosts", "emulated hosts (default 2)", fmt::format("a number from 1 to {}", kMaxHosts), integer, 1, kMaxHosts,
               [&](int64_t n) { arguments.hosts = static_cast<int>(n); });
  add<double>(
      app, "--rate", "of each host, in each direction: 10kbit, 200Mbit, 1Gbit (default: unlimited)",
      "a rate from 1kbit to 100Gbit, such as 200Mbit", [](const std::string& text) { return config::parse_rate(text); }, 1e3, 1e11,
      [&](double rate) { wire.bits_per_s = rate; });
  add<double>(app, "--delay", "one way: 10ms makes a round trip of 20 ms (default 0)", "a time from 0 to 60s, such as 10ms", seconds, 0.0,
              60.0, [&](double s) { wire.delay = std::chrono::nanoseconds(static_cast<int64_t>(s * 1e9)); });
  add<double>(
      app, "--loss", "probability that a packet is lost: 0.5% (default 0)", "a fraction from 0% to 100%",
      [](const std::string& text) { return parse_fraction(text); }, 0.0, 1.0, [&](double loss) { wire.loss = loss; });
  add<int64_t>(
      app, "--queue", "bytes that may wait for the wire: 64kB (default: what is under way in a round trip, at least 256kB)",
      "a size from 1B to 1GB, such as 64kB", [](const std::string& text) { return parse_bytes(text); }, 1, 1'000'000'000,
      [&](int64_t num_bytes) { wire.queue_bytes = num_bytes; });
  add<int64_t>(app, "--mtu", "bytes of the largest IP packet (default 1500)", "a number from 576 to 65535", integer, 576, 65'535,
               [&](int64_t num_bytes) { arguments.mtu_bytes = static_cast<int>(num_bytes); });
  add<int64_t>(app, "--seed", "of the losses (default 1)", "a number from 0", integer, 0, std::numeric_limits<int64_t>::max(),
               [&](int64_t seed) { arguments.seed = static_cast<uint64_t>(seed); });
  add<double>(app, "--timeout", "of the command: 10m; then SIGTERM, later SIGKILL (default: none)", "a time from 1ms to 1000h, such as 10m",
              seconds, 1e-3, 3.6e6, [&](double s) { arguments.timeout_s = s; });
  app.add_option_function<std::vector<std::string>>(
         "--cut",
         [&](const std::vector<std::string>& texts) {
           for (const auto& text : texts) {
             const auto cut = parse_cut(text);
             if (!cut) throw ConfigError(fmt::format("--cut: '{}' is not HOST@AT:FOR, such as 1@5s:3s", text));
             arguments.cuts.push_back(*cut);
           }
         },
         "HOST@AT:FOR: from AT after the start, for FOR, nobody reaches this host: 1@5s:3s. May be repeated")
      ->type_name("");
  app.add_flag("--measure", arguments.measure, "instead of a command: measures round trip, loss and rate from host 0 to host 1");
}

void check_together(Arguments& arguments, bool queue_given) {
  if (arguments.measure == !arguments.command.empty()) {
    throw ConfigError("name either a command, behind `--`, or --measure: netlab --rate 200Mbit -- mpirun -n 2 PROGRAM");
  }
  if (arguments.measure && arguments.hosts < 2) throw ConfigError("--measure: a link has two ends, but --hosts is 1");
  for (const Cut& cut : arguments.cuts) {
    if (cut.host >= arguments.hosts)
      throw ConfigError(fmt::format("--cut: there is no host {}; they are 0 to {}", cut.host, arguments.hosts - 1));
  }
  auto& wire = arguments.wire;
  if (!queue_given) {
    const double round_trip_s = 2e-9 * static_cast<double>(wire.delay.count());
    wire.queue_bytes = std::max(kLeastQueueBytes, static_cast<int64_t>(wire.bits_per_s.value_or(0) / 8 * round_trip_s));
  }
}
}  // namespace

Arguments parse_arguments(std::vector<std::string> words) {
  Arguments arguments;
  CLI::App app(kDescription, "netlab");
  add_options(app, arguments);
  const auto dashes = std::find(words.begin(), words.end(), "--");
  if (dashes != words.end()) arguments.command.assign(dashes + 1, words.end());
  std::vector<std::string> options(words.begin(), dashes);
  std::reverse(options.begin(), options.end());  // as CLI11 takes them
  try {
    app.parse(options);
  } catch (const CLI::CallForHelp&) {
    throw Help{app.help()};
  } catch (const CLI::ExtrasError& error) {
    throw ConfigError(fmt::format("{}; the command stands behind `--`", error.what()));
  } catch (const CLI::ParseError& error) {
    throw ConfigError(error.what());
  }
  check_together(arguments, app.count("--queue") > 0);
  return arguments;
}

}  // namespace thinwire::netlab
