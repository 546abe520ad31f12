#include "compressors/plan/candidates.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "base/error.h"
#include "config/load.h"

namespace thinwire::compressors {

namespace {

using Sweep = Strength::Sweep;

std::vector<double> sweep(Sweep kind, double configured) {
  std::vector<double> values;
  if (kind == Sweep::tenths) {
    for (int i = 1; i <= 100 && configured * i / 10 <= 1; ++i) values.push_back(configured * i / 10);
    if (configured > 0.1 && values.back() < 1) values.push_back(1);
  } else if (kind == Sweep::doublings) {
    for (double v = configured / 8; v <= 8 * configured; v *= 2) values.push_back(v);
  } else {
    for (double v = std::max(1.0, std::ceil(configured / 2)); v <= 2 * configured; ++v) values.push_back(v);
  }
  return values;
}

// Short decimal text: the option's value is what this says, on every rank.
std::string value_text(bool is_share, double value) {
  return is_share ? fmt::format("{:.6g}%", 100 * value) : fmt::format("{:.6g}", value);
}

double value_of(const std::string& text) {
  const double number = std::strtod(text.c_str(), nullptr);
  return text.ends_with('%') ? number / 100 : number;
}

std::string option_of(CodecMaker& maker, std::string_view option) {
  config::Section section;
  maker.describe_options(section);
  return config::flatten(section).at(std::string(option));
}

void add_single(CandidateSet& set, const CodecChoice& choice, const std::string& codec) {
  std::shared_ptr<CodecMaker> maker = choice.maker(codec, {});
  set.families.push_back({codec, "", set.candidates.size(), {}, maker});
  set.candidates.push_back({codec, maker->make()});
}

size_t nearest_to(const Family& family, double value) {
  size_t best = 0;
  for (size_t i = 1; i < family.values.size(); ++i) {
    if (std::fabs(family.values[i] - value) < std::fabs(family.values[best] - value)) best = i;
  }
  return family.begin + best;
}

void add_family(CandidateSet& set, const CodecChoice& choice, const std::string& codec, const Strength& strength, bool is_configured) {
  Family family{codec, std::string(strength.option), set.candidates.size(), {}, choice.maker(codec, {})};
  const std::string configured_text = option_of(*family.maker, strength.option);
  const double configured = value_of(configured_text);
  for (const double value : sweep(strength.sweep, configured)) {
    const bool as_configured = std::fabs(value - configured) < 1e-9 * configured;
    const std::string text = as_configured ? configured_text : value_text(configured_text.ends_with('%'), value);
    const std::string option = fmt::format("{}={}", strength.option, text);
    try {
      const auto maker = choice.maker(codec, {option});
      set.candidates.push_back({codec + ' ' + option, maker->make()});
    } catch (const ConfigError&) {
      continue;  // a strength that this codec does not have
    }
    family.values.push_back(value_of(text));
  }
  if (is_configured) {
    check(!family.values.empty(), "the configured strength is one that the codec has");
    set.uniform = nearest_to(family, configured);
    set.gentle = nearest_to(family, 2 * configured);
    set.harsh = nearest_to(family, configured / 2);
  }
  set.families.push_back(std::move(family));
}

}  // namespace

CandidateSet make_candidates(const CodecChoice& choice, const PlanOptions& options) {
  CandidateSet set;
  add_single(set, choice, "none");
  const auto strength_of = [&](const std::string& codec) { return choice.makers.at(codec)->strength(); };
  if (const auto strength = strength_of(choice.codec)) {
    add_family(set, choice, choice.codec, *strength, true);
  } else if (choice.codec != "none") {  // a codec that is what it is
    add_single(set, choice, choice.codec);
    set.uniform = set.gentle = set.harsh = set.candidates.size() - 1;
  }
  if (options.candidates == "mixed") {
    for (const std::string& codec : codec_names()) {
      const auto strength = strength_of(codec);
      if (strength && codec != choice.codec) add_family(set, choice, codec, *strength, false);
    }
  }
  return set;
}

std::shared_ptr<const Compressor> make_by_text(const CodecChoice& choice, const std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos) return choice.maker(text, {})->make();
  return choice.maker(text.substr(0, space), {text.substr(space + 1)})->make();
}

}  // namespace thinwire::compressors
