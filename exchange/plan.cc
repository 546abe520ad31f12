#include "exchange/plan.h"

#include <map>

#include "base/error.h"
#include "base/text.h"
#include "compressors/expected_bytes.h"
#include "compressors/plan/cost.h"
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

using CodecPtr = std::shared_ptr<const compressors::Compressor>;

// "topk chunk=4096 density=6.25% ..."
std::string text_of(const compressors::CodecChoice& choice) {
  config::Section options;
  choice.makers.at(choice.codec)->describe_options(options);
  std::string text = choice.codec;
  for (const auto& [key, value] : config::flatten(options)) text += ' ' + key + '=' + value;
  return text;
}

// One object for equal choices: the same codec under the same options.
class SharedCodecs {
 public:
  void give(SlotSpec& slot, const compressors::CodecChoice& choice) {
    slot.text = text_of(choice);
    auto& codec = made_[slot.text];
    if (!codec) codec = choice.make();
    slot.codec = codec;
  }

 private:
  std::map<std::string, CodecPtr> made_;
};
}  // namespace

void set_combine(SlotSpec& slot, const CompressOptions& options) {
  slot.combine_as.reset();
  const auto traits = slot.traits();
  if (options.combine == "reencode" && traits.combine == compressors::Combine::gather && traits.split_elems > 0) {
    slot.combine_as = compressors::Combine::reencode;
  }
}

namespace {
// Of a codec that somebody chose; a plan may mix in others, whose payloads then go to everyone.
void require_combine(const SlotSpec& slot, const CompressOptions& options) {
  if (options.combine != "reencode" || slot.combine() != compressors::Combine::gather) return;
  throw ConfigError("compress.combine: '" + slot.name + "' travels by '" + slot.text +
                    "', whose payload covers a whole layer and cannot be cut among owners; use combine: auto, or topk of chunks");
}

void require_contracting(const SlotSpec& slot, const CompressOptions& options) {
  if (!slot.traits().expands || options.error_feedback.name == "none") return;
  throw ConfigError("compress.error_feedback: '" + slot.name + "' travels by '" + slot.text + "', which enlarges what it sends: under " +
                    options.error_feedback.name + " its residual would grow without bound; set compress.error_feedback: none");
}
}  // namespace

std::vector<SlotSpec> plan_slots(const std::vector<ParameterShape>& parameters, const CompressOptions& options) {
  SharedCodecs codecs;
  const compressors::CodecChoice dense;
  for (const auto& rule : options.rules) require_matches(rule, parameters);

  std::vector<SlotSpec> slots;
  for (const auto& parameter : parameters) {
    SlotSpec slot{.name = parameter.name, .rows = parameter.rows, .cols = parameter.cols};
    size_t rule = 0;
    while (rule < options.rules.size() && !glob_match(options.rules[rule].match, parameter.name)) ++rule;
    if (rule < options.rules.size()) {
      codecs.give(slot, options.rules[rule].choice);
      slot.why_fixed = "rule '" + options.rules[rule].match + "'";
      if (options.rules[rule].choice.codec == dense.codec) slot.why_dense = "rule '" + options.rules[rule].match + "'";
    } else if (static_cast<int64_t>(slot.elems()) < options.min_elems && options.choice.codec != dense.codec) {
      codecs.give(slot, dense);
      slot.why_fixed = slot.why_dense = std::to_string(slot.elems()) + " elements < min_elems " + std::to_string(options.min_elems);
    } else {
      codecs.give(slot, options.choice);
    }
    if (slot.why_dense.empty()) slot.why_dense = slot.traits().why_raw;
    set_combine(slot, options);
    require_combine(slot, options);
    require_contracting(slot, options);
    slots.push_back(std::move(slot));
  }
  return slots;
}

compressors::Plan configured_plan(const std::vector<SlotSpec>& slots, int num_ranks) {
  compressors::Plan plan;
  for (const SlotSpec& slot : slots) {
    compressors::PlannedLayer layer;
    layer.name = slot.name;
    layer.rows = slot.rows;
    layer.cols = slot.cols;
    layer.choice = slot.why_dense.empty() ? slot.text : "none";
    layer.why_dense = slot.why_dense;
    layer.payload_bytes = compressors::expected_bytes(*slot.codec, {0, slot.rows, slot.cols});
    layer.wire_bytes = compressors::wire_bytes(slot.combine(), layer.payload_bytes, num_ranks);
    plan.layers.push_back(std::move(layer));
  }
  return plan;
}

}  // namespace thinwire::exchange
