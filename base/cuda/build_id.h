// What tells a module of another build: the version of the seams between the program and the module. Raised by who changes a virtual
// function or a struct that crosses it, or adds a part.
#pragma once

namespace thinwire::cuda {

inline constexpr char kBuildId[] = "thinwire-cuda-4";

}  // namespace thinwire::cuda
