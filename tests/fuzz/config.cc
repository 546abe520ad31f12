// A config file of any bytes: values or a ConfigError; and what was accepted is printed as a config that means the same.
#include "config/load.h"

#include "exchange/options.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

// The richest part of the real tree: sections, lists of sections, every codec's options, amounts, rules.
struct Root {
  exchange::ExchangeOptions exchange;
  exchange::CompressOptions compress;
};
void describe(config::Section& section, Root& root) {
  section.section("exchange", root.exchange, "when and what");
  section.section("compress", root.compress, "how small");
}

std::string printed(const std::string& yaml) {
  Root root;
  config::Section section = config::describe_root(root);
  config::load(section, {{"fuzz.yaml", yaml}}, {});
  return config::print(section);
}

void run(ConstBytes input) {
  std::string once;
  try {
    once = printed(std::string(reinterpret_cast<const char*>(input.data()), input.size()));
  } catch (const ConfigError& error) {
    require(!std::string(error.what()).empty(), "an error has a message");
    return;
  }
  require(printed(once) == once, "a printed config reads as the same values");
}

Bytes text(std::string_view yaml) {
  const ConstBytes bytes = bytes_of(yaml);
  return {bytes.begin(), bytes.end()};
}

std::vector<Bytes> seeds() {
  Root defaults;
  return {
      text(config::print(config::describe_root(defaults))),
      text("exchange: {schedule: local_steps, every: 5, outer: {name: nesterov, lr: 0.7}, bucket_bytes: 4MiB, overlap: false}\n"),
      text("compress:\n  codec: topk\n  topk: {density: 6.25%, chunk: 64}\n  error_feedback: ef14\n  start: 10%\n"
           "  rules:\n    - {match: 'embed*', codec: bf16}\n    - match: \"*\\x41\"\n      codec: none\n"),
      text("compress: &a {codec: bf16, rules: [{match: x}]}\nexchange: *a\n"),
      text("compress: {codec: |\n  topk\n  }\n"),
      text("exchange: {every: -1, evry: 2, every: 3}\ncompress: [1, {a: b}]\n"),
  };
}

}  // namespace

Target config_target() { return {"config", run, seeds}; }

}  // namespace thinwire::fuzz
