// What the doctor finds: one line each, with what mends it.
#pragma once
#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace thinwire::app::doctor {

struct Finding {
  enum class State { well, note, bad };  // note: worth knowing, or in the way of some runs only
  std::string section, name, value;
  State state = State::well;
  std::string fix = {};          // a command, or what to change; of a note or a bad one
  ExitCode code = ExitCode::ok;  // of a bad one: what a run would end with
};
using Findings = std::vector<Finding>;

inline Finding note(std::string section, std::string name, std::string value, std::string fix) {
  return {std::move(section), std::move(name), std::move(value), Finding::State::note, std::move(fix)};
}
inline Finding bad(ExitCode code, std::string section, std::string name, std::string value, std::string fix) {
  return {std::move(section), std::move(name), std::move(value), Finding::State::bad, std::move(fix), code};
}

// `look` describes what it finds, or throws what a run would.
template <class Look>
Finding look_at(const char* section, const char* name, const std::string& fix, Look&& look) {
  try {
    return {section, name, look()};
  } catch (...) {
    const auto [code, why] = failure_of(std::current_exception());
    return bad(code, section, name, why, fix);
  }
}

std::string to_text(const Findings& findings);  // a table; `fix` below its line
nlohmann::ordered_json to_json(const Findings& findings);
Findings from_json(const nlohmann::json& json);  // of a peer; throws nlohmann::json::exception
ExitCode code_of(const Findings& findings);      // of the first bad one; ok

}  // namespace thinwire::app::doctor
