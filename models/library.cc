#include "models/library.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>

namespace thinwire::models {

std::string torch_path() {
  Dl_info torch{};
  return dladdr(reinterpret_cast<void*>(&at::globalContext), &torch) != 0 ? torch.dli_fname : "";
}

std::string cpu_capability() { return at::get_cpu_capability(); }

std::string parallel_backend() { return at::get_parallel_info().find("OpenMP") != std::string::npos ? "OpenMP" : "native"; }

}  // namespace thinwire::models
