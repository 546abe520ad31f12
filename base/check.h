// check(): a broken invariant of our own code. Never used for user input, files or peers (those are Errors).
#pragma once
#include <source_location>
#include <stdexcept>
#include <string>

namespace thinwire {

struct BrokenInvariant : std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] void broken_invariant(const char* what, const std::source_location& where);

inline void check(bool holds, const char* what, const std::source_location& where = std::source_location::current()) {
  if (!holds) [[unlikely]]
    broken_invariant(what, where);
}

}  // namespace thinwire
