#include "exchange/plan.h"

#include "base/error.h"
#include "base/text.h"

namespace thinwire::exchange {

namespace {
void require_matches(const Rule& rule, const std::vector<ParameterShape>& parameters) {
  std::vector<std::string> names;
  for (const auto& parameter : parameters) {
    if (glob_match(rule.match, parameter.name)) return;
    names.push_back(parameter.name);
  }
  throw ConfigError("compress.rules: no parameter matches '" + rule.match + "'" + did_you_mean(rule.match, names) +
                    "; names look like '" + (names.empty() ? "" : names.front()) + "'");
}
}  // namespace

std::vector<SlotSpec> plan_slots(const std::vector<ParameterShape>& parameters, const CompressOptions& options) {
  compressors::CodecChoice dense_choice;  // `none`
  const auto dense = dense_choice.make();
  const std::shared_ptr<const compressors::Codec> standard = options.choice.codec == "none" ? dense : options.choice.make();
  std::vector<std::shared_ptr<const compressors::Codec>> of_rule;
  for (const auto& rule : options.rules) {
    require_matches(rule, parameters);
    of_rule.push_back(rule.choice.codec == "none" ? dense : rule.choice.make());
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
