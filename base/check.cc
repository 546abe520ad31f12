#include "base/check.h"

namespace thinwire {

void broken_invariant(const char* what, const std::source_location& where) {
  throw BrokenInvariant(std::string("internal error: ") + what + " does not hold at " + where.file_name() + ":" +
                        std::to_string(where.line()) + " in " + where.function_name());
}

}  // namespace thinwire
