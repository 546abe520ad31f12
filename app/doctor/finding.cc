#include "app/doctor/finding.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace thinwire::app::doctor {

namespace {
constexpr const char* kStates[] = {"ok", "note", "BAD"};
const char* word(Finding::State state) { return kStates[static_cast<size_t>(state)]; }
}  // namespace

std::string to_text(const Findings& findings) {
  std::string text, section;
  for (const Finding& f : findings) {
    if (f.section != section) text += fmt::format("{}{}\n", section.empty() ? "" : "\n", f.section);
    section = f.section;
    text += fmt::format("  {:<5}{:<24}{}\n", word(f.state), f.name, f.value);
    if (!f.fix.empty()) text += fmt::format("       {:<24}-> {}\n", "", f.fix);
  }
  return text;
}

nlohmann::ordered_json to_json(const Findings& findings) {
  auto all = nlohmann::ordered_json::array();
  for (const Finding& f : findings)
    all.push_back({{"section", f.section},
                   {"name", f.name},
                   {"value", f.value},
                   {"state", word(f.state)},
                   {"fix", f.fix},
                   {"code", static_cast<int>(f.code)}});
  return all;
}

Findings from_json(const nlohmann::json& json) {
  Findings findings;
  for (const auto& one : json) {
    const std::string state = one.at("state");
    Finding f{one.at("section"), one.at("name"), one.at("value")};
    f.state = state == word(Finding::State::bad)    ? Finding::State::bad
              : state == word(Finding::State::note) ? Finding::State::note
                                                    : Finding::State::well;
    f.fix = one.at("fix");
    f.code = static_cast<ExitCode>(one.at("code").get<int>());
    findings.push_back(std::move(f));
  }
  return findings;
}

ExitCode code_of(const Findings& findings) {
  for (const Finding& f : findings) {
    if (f.state == Finding::State::bad) return f.code;
  }
  return ExitCode::ok;
}

}  // namespace thinwire::app::doctor
