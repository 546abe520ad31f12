// A report: one HTML page that needs nothing else, neither network nor scripts; light or dark as the reader's system, from a phone's width
// up.
#pragma once
#include <string>
#include <vector>

#include "report/run_record.h"

namespace thinwire::report {

// The same runs give the same bytes.
std::string make_page(const std::vector<RunRecord>& runs);

}  // namespace thinwire::report
