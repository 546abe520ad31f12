#include "base/error.h"

#include <new>
#include <string_view>

namespace thinwire {

namespace {
// LibTorch's words, of the host's memory and of a GPU's.
bool tells_of_memory(std::string_view what) {
  return what.find("can't allocate memory") != std::string_view::npos || what.find("out of memory") != std::string_view::npos;
}

Failure out_of_memory() {
  return {ExitCode::out_of_memory, "out of memory; a smaller data.micro_batch, model.context or model.d_model needs less"};
}
}  // namespace

Failure failure_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return {e.code(), e.what()};
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    return tells_of_memory(e.what()) ? out_of_memory() : Failure{ExitCode::other, e.what()};
  } catch (...) {
    return {ExitCode::other, "an exception that is no std::exception"};
  }
}

}  // namespace thinwire
