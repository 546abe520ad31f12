#include "exchange/plan.h"

#include <map>

#include "base/error.h"
#include "base/text.h"
#include "config/load.h"

namespace thinwire::exchange {

namespace {
void require_matches(const Rule& rule, const std::vector<ParameterShape>& parameters) {
  std::vector<std::string> names;
  for (const auto& parameter : parameters) {
    if (glob_match(rule.match, parameter.name)) return;
    names.push_back(parameter.name);
  }
  throw ConfigError("compress.rules: no parameter matches '" + rule.match + "'" + did_you_mean(rule.match, names) + "; names look like '" +
                    (names.empty() ? "" : names.front()) + "'");
}

// One object for equal choices: the same codec under the same options, as a config would print them.
class SharedCodecs {
 public:
  std::shared_ptr<const compressors::Codec> get(const compressors::CodecChoice& choice) {
    config::Section options;
    choice.makers.at(choice.codec)->describe_options(options);
    auto& codec = made_[choice.codec + '\n' + config::print(options)];
    if (!codec) codec = choice.make();
    return codec;
  }

 private:
  std::map<std::string, std::shared_ptr<const compressors::Codec>> made_;
};
}  // namespace

std::vector<SlotSpec> plan_slots(const std::vector<ParameterShape>& parameters, const CompressOptions& options) {
  SharedCodecs codecs;
  const auto dense = codecs.get(compressors::CodecChoice());
  const auto standard = codecs.get(options.choice);
  std::vector<std::shared_ptr<const compressors::Codec>> of_rule;
  for (const auto& rule : options.rules) {
    require_matches(rule, parameters);
    of_rule.push_back(codecs.get(rule.choice));
  }

  std::vector<SlotSpec> slots;
  for (const auto& parameter : parameters) {
    SlotSpec slot{parameter.name, parameter.rows, parameter.cols, standard, ""};
    size_t rule = 0;
    while (rule < options.rules.size() && !glob_match(options.rules[rule].match, parameter.name)) ++rule;
    if (rule < options.rules.size()) {
      slot.codec = of_rule[rule];
      if (slot.codec == dense) slot.why_dense = "rule '" + options.rules[rule].match + "'";
    } else if (static_cast<int64_t>(slot.elems()) < options.min_elems) {
      slot.codec = dense;
      slot.why_dense = std::to_string(slot.elems()) + " elements < min_elems " + std::to_string(options.min_elems);
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

}  // namespace thinwire::exchange
