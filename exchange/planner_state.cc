#include "exchange/planner_state.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/error.h"

namespace thinwire::exchange {

std::string to_text(const PlannerState& state) {
  std::ostringstream text;
  text << "planner 2\n"
       << state.next_step << ' ' << state.is_sampling << ' ' << state.rounds_sampled << ' ' << state.fallbacks.size() << ' '
       << state.grown.size() << '\n';
  for (const auto& [slot, why] : state.fallbacks) text << slot << ' ' << why << '\n';
  for (const Slot slot : state.grown) text << slot << '\n';
  text << (state.plan.version > 0 ? compressors::to_text(state.plan) : "");
  return text.str();
}

namespace {

[[noreturn]] void corrupt(const std::string& what) { throw CorruptData("the saved plan: " + what); }

std::string take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) corrupt("its last line is cut");
  const std::string line(text.substr(0, end));
  text.remove_prefix(end + 1);
  return line;
}

uint64_t take_number(std::string_view& line) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  const auto taken = static_cast<size_t>(end - line.data());
  if (error != std::errc() || (taken < line.size() && line[taken] != ' ')) corrupt("no number begins '" + std::string(line) + "'");
  line.remove_prefix(std::min(line.size(), taken + 1));
  return number;
}

}  // namespace

PlannerState parse_planner_state(std::string_view text, size_t num_slots) {
  if (take_line(text) != "planner 2") corrupt("not of a form that this program reads");
  PlannerState saved;
  const std::string head = take_line(text);
  std::string_view numbers = head;
  saved.next_step = take_number(numbers);
  const uint64_t sampling = take_number(numbers);
  saved.is_sampling = sampling == 1;
  saved.rounds_sampled = take_number(numbers);
  const uint64_t count = take_number(numbers), num_grown = take_number(numbers);
  if (!numbers.empty() || sampling > 1 || count > num_slots || num_grown > num_slots) corrupt("its second line is damaged");
  for (uint64_t i = 0; i < count; ++i) {
    const std::string line = take_line(text);
    std::string_view why = line;
    const uint64_t slot = take_number(why);
    if (slot >= num_slots || why.empty() || !saved.fallbacks.try_emplace(static_cast<Slot>(slot), why).second)
      corrupt("its fallbacks are damaged");
  }
  for (uint64_t i = 0; i < num_grown; ++i) {
    const std::string line = take_line(text);
    std::string_view rest = line;
    const uint64_t slot = take_number(rest);
    if (slot >= num_slots || !rest.empty() || !saved.grown.insert(static_cast<Slot>(slot)).second) corrupt("its list of slots is damaged");
  }
  if (!text.empty()) saved.plan = compressors::parse_plan(text);
  return saved;
}

}  // namespace thinwire::exchange
