#include <fmt/format.h>

#include <algorithm>

#include "app/doctor/checks.h"
#include "trainer/planning.h"

namespace thinwire::app::doctor {

Findings check_settings(const Patient& patient) {
  if (!patient.is_configured) return {};
  return {look_at("settings", "compress", "correct it, then thinwire plan -c FILE", [&] {
    const auto slots = trainer::checked_slots(patient.options);
    const auto compressed = std::ranges::count_if(slots, [](const auto& slot) { return slot.delta() < 1; });
    return fmt::format("{} of {} parameters lose something on the wire", compressed, slots.size());
  })};
}

}  // namespace thinwire::app::doctor
