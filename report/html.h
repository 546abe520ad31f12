// HTML from text: everything that came from a file goes through escape().
#pragma once
#include <string>
#include <string_view>

namespace thinwire::report {

std::string escape(std::string_view text);

}  // namespace thinwire::report
