// check(): a broken invariant of our own code. Never used for user input, files or peers (those are Errors).
#pragma once
#include <stdexcept>

namespace thinwire {

struct BrokenInvariant : std::logic_error {
  using std::logic_error::logic_error;
};

// The defaults name the caller. They are compiler built-ins (GCC and Clang), because Clang 14, whose fuzzer and linter we use, has no
// std::source_location.
[[noreturn]] void broken_invariant(const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                                   const char* function = __builtin_FUNCTION());

inline void check(bool holds, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                  const char* function = __builtin_FUNCTION()) {
  if (!holds) [[unlikely]]
    broken_invariant(what, file, line, function);
}

}  // namespace thinwire
