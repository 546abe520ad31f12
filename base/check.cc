#include "base/check.h"

#include <string>

namespace thinwire {

void broken_invariant(const char* what, const char* file, int line, const char* function) {
  throw BrokenInvariant(std::string("internal error: ") + what + " does not hold at " + file + ":" + std::to_string(line) + " in " +
                        function);
}

}  // namespace thinwire
