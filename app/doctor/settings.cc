#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "app/doctor/checks.h"
#include "trainer/planning.h"

namespace thinwire::app::doctor {

namespace {
constexpr const char* kSection = "settings";
}

Findings check_settings(const Patient& patient) {
  if (!patient.is_configured) return {};
  try {
    const auto slots = trainer::checked_slots(patient.options);
    const auto compressed = std::ranges::count_if(slots, [](const auto& slot) { return slot.delta() < 1; });
    return {{kSection, "compress", fmt::format("{} of {} parameters lose something on the wire", compressed, slots.size())}};
  } catch (...) {
    const auto [code, why] = failure_of(std::current_exception());
    return {bad(code, kSection, "compress", why, "correct it, then thinwire plan -c FILE")};
  }
}

}  // namespace thinwire::app::doctor
