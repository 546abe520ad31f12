// Keys that were set and have no effect, because an alternative was chosen that does not look at them (Section::only).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "config/report.h"
#include "config/section.h"

namespace thinwire::config {

// What each key says, as it prints, by its path without indices: keys of lists have the values of a new element.
using Values = std::map<std::string, std::vector<std::string>>;
Values values_of(const Section& root);

// Adds a line for each to `report`. `before`: values before anything was loaded; `set_at`: where each key was last set; sources from
// `first_set` on count as one.
void tell_unused(const Section& root, const Values& before, const std::map<std::string, Place>& set_at, size_t first_set, Report& report);

}  // namespace thinwire::config
