#include "models/graph/graph.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <filesystem>

#include "base/check.h"
#include "base/cuda/module.h"
#include "models/cuda.h"

namespace thinwire::models {

namespace {
using Maker = Graph* (*)();

struct Module {
  Maker make = nullptr;
  std::string why_not;
};

Module load() {
  if (!why_no_cuda().empty()) return {nullptr, why_no_cuda()};
  std::error_code error;
  const auto path = cuda::module_path("libthinwire_torch_cuda.so");
  if (!std::filesystem::exists(path, error)) return {nullptr, "this Thinwire was built without CUDA: there is no " + path.string()};
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return {nullptr, std::string("the module of CUDA graphs cannot be loaded: ") + dlerror()};
  const auto make = reinterpret_cast<Maker>(dlsym(handle, "thinwire_make_cuda_graph"));
  if (make == nullptr) return {nullptr, path.string() + " belongs to another build of Thinwire; build both anew"};
  return {make, ""};
}

const Module& module() {
  static const Module loaded = load();
  return loaded;
}
}  // namespace

const std::string& why_no_graphs() { return module().why_not; }

std::unique_ptr<Graph> make_graph() {
  check(module().make != nullptr, "graphs are made only where they can be");
  return std::unique_ptr<Graph>(module().make());
}

void use_own_stream(c10::Device device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.exchangeStream(guard.getStreamFromGlobalPool(device));
}

}  // namespace thinwire::models
