// The CUDA module: all code that needs CUDA's libraries, in one shared object that is loaded when there is a use for it. So one program
// serves machines with and without a GPU, and needs no CUDA library to start.
//
// A room puts its part of the module into files of its own (thinwire_cuda_sources in CMake) and exports it there by one visible function
// with C linkage, `const void* thinwire_cuda_<part>()`; here it asks for it by that name and casts to its own type. Both sides are built
// from one tree: a module of another build is refused (build_id.h).
#pragma once
#include <filesystem>
#include <string>

#include "base/cuda/runtime.h"

namespace thinwire::cuda {

// Where the program's module of that name is: in the program's own directory, or, where that has none, in ../lib/thinwire of it, as
// `cmake --install` puts them. A path that does not exist when there is none.
std::filesystem::path module_path(const std::string& name);

// What stands between this process and a GPU: the module's file, a library that it needs, a module of this build, or a device.
enum class Lack { nothing, module, library, build, device };

// Loads libthinwire_cuda.so, once per process. Thread-safe.
Lack what_lacks();
// Empty when it is loaded and sees a device; else why not, for people: "no NVIDIA driver", "the module was not built: ...".
std::string why_unavailable();
inline bool is_available() { return why_unavailable().empty(); }

// After is_available(). The module exports every part that it was built with: a name that it lacks is a broken invariant.
Runtime& runtime();
const void* part(const std::string& name);

}  // namespace thinwire::cuda
