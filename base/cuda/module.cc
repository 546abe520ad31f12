#include "base/cuda/module.h"

#include <dlfcn.h>

#include "base/check.h"
#include "base/cuda/build_id.h"
#include "base/text.h"

namespace thinwire::cuda {

namespace {

struct Module {
  void* handle = nullptr;
  Runtime* runtime = nullptr;
  Lack lacks = Lack::nothing;
  std::string why_unavailable;

  Module& without(Lack what, std::string why) {
    lacks = what;
    why_unavailable = std::move(why);
    return *this;
  }
};

using Part = const void* (*)();

Part find_part(void* handle, const std::string& name) { return reinterpret_cast<Part>(dlsym(handle, ("thinwire_cuda_" + name).c_str())); }

Module load() {
  Module module;
  const auto path = module_path("libthinwire_cuda.so");
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return module.without(Lack::module, "this Thinwire was built without CUDA: there is no " + path.string());
  module.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module.handle == nullptr) return module.without(Lack::library, std::string("the CUDA module cannot be loaded: ") + dlerror());
  const Part build = find_part(module.handle, "build"), runtime = find_part(module.handle, "runtime");
  if (build == nullptr || runtime == nullptr || std::string(static_cast<const char*>(build())) != kBuildId) {
    return module.without(Lack::build, path.string() + " belongs to another build of Thinwire; build both anew");
  }
  module.runtime = static_cast<Runtime*>(const_cast<void*>(runtime()));
  if (module.runtime->num_devices() == 0) module.without(Lack::device, "no CUDA device is seen (is the NVIDIA driver installed?)");
  return module;
}

const Module& module() {
  static const Module loaded = load();
  return loaded;
}

}  // namespace

std::filesystem::path module_path(const std::string& name) {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto installed = folder.parent_path() / "lib" / "thinwire" / name;
  return !std::filesystem::exists(folder / name, error) && std::filesystem::exists(installed, error) ? installed : folder / name;
}

std::string Runtime::describe(int device) { return name(device) + ", " + human_bytes(static_cast<double>(memory_bytes(device))); }

Lack what_lacks() { return module().lacks; }
std::string why_unavailable() { return module().why_unavailable; }

Runtime& runtime() {
  check(is_available(), "the CUDA module is asked only where it is available");
  return *module().runtime;
}

const void* part(const std::string& name) {
  check(is_available(), "the CUDA module is asked only where it is available");
  const Part found = find_part(module().handle, name);
  check(found != nullptr, "the CUDA module has the part that is asked for");
  return found();
}

}  // namespace thinwire::cuda
