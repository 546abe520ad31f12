// In the CUDA module: NCCL itself, loaded when it is asked for, so that the module serves machines without it. The loader gives the
// libnccl.so.2 that this process has already, if any (LibTorch's): there are never two.
#include <dlfcn.h>

#include <cstring>

#include "base/error.h"
#include "comm/nccl/api.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

namespace thinwire::comm {

namespace {

constexpr int kOldestVersion = NCCL_VERSION(2, 18, 1);  // knows every field of the configuration that is set here

std::string version_text(int code) {
  return std::to_string(code / 10000) + "." + std::to_string(code / 100 % 100) + "." + std::to_string(code % 100);
}

class RealNccl final : public NcclApi {
 public:
  // Empty when all functions were found.
  std::string load() {
    void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
      return std::string("NCCL cannot be loaded (") + dlerror() + "); install libnccl2, or put its folder on LD_LIBRARY_PATH";
    std::string missing;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr) missing += std::string(missing.empty() ? "" : ", ") + name;
    };
    find(get_version_, "ncclGetVersion"), find(get_id_, "ncclGetUniqueId"), find(init_, "ncclCommInitRankConfig");
    find(async_error_, "ncclCommGetAsyncError"), find(group_start_, "ncclGroupStart"), find(group_end_, "ncclGroupEnd");
    find(send_, "ncclSend"), find(recv_, "ncclRecv"), find(finalize_, "ncclCommFinalize"), find(destroy_, "ncclCommDestroy");
    find(abort_, "ncclCommAbort"), find(error_text_, "ncclGetErrorString"), find(last_error_, "ncclGetLastError");
    if (!missing.empty()) return "libnccl.so.2 lacks " + missing + "; install NCCL " + version_text(kOldestVersion) + " or later";
    const ncclResult_t result = get_version_(&version_);
    if (result != ncclSuccess) return std::string("ncclGetVersion failed: ") + error_text_(result);
    if (version_ < kOldestVersion) return "NCCL " + version() + " is too old; install " + version_text(kOldestVersion) + " or later";
    return {};
  }

  std::string version() override { return version_text(version_); }

  NcclId make_id() override {
    static_assert(sizeof(NcclId) == sizeof(ncclUniqueId));
    ncclUniqueId id;
    require(get_id_(&id), "ncclGetUniqueId", nullptr);
    NcclId copy;
    std::memcpy(copy.bytes.data(), &id, sizeof id);
    return copy;
  }

  Comm init(int size, const NcclId& id, int rank) override {
    ncclUniqueId copy;
    std::memcpy(&copy, id.bytes.data(), sizeof copy);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t comm = nullptr;
    const ncclResult_t result = init_(&comm, size, copy, rank, &config);
    if (result != ncclSuccess && result != ncclInProgress && comm != nullptr) abort_(comm);
    require(result, "ncclCommInitRankConfig", nullptr);
    return comm;
  }

  bool is_ready(Comm comm) override {
    ncclResult_t state = ncclSuccess;
    require(async_error_(of(comm), &state), "ncclCommGetAsyncError", comm);
    require(state, "NCCL", comm);
    return state == ncclSuccess;
  }

  void group_start() override { require(group_start_(), "ncclGroupStart", nullptr); }
  void group_end() override { require(group_end_(), "ncclGroupEnd", nullptr); }
  void send(const void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) override {
    require(send_(data, num_bytes, ncclUint8, peer, of(comm), static_cast<cudaStream_t>(stream)), "ncclSend", comm);
  }
  void recv(void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) override {
    require(recv_(data, num_bytes, ncclUint8, peer, of(comm), static_cast<cudaStream_t>(stream)), "ncclRecv", comm);
  }

  void finalize(Comm comm) override { require(finalize_(of(comm)), "ncclCommFinalize", comm); }
  void destroy(Comm comm) override { require(destroy_(of(comm)), "ncclCommDestroy", nullptr); }
  void abort(Comm comm) noexcept override { abort_(of(comm)); }

 private:
  static ncclComm_t of(Comm comm) { return static_cast<ncclComm_t>(comm); }

  void require(ncclResult_t result, const char* call, Comm comm) {
    if (result == ncclSuccess || result == ncclInProgress) return;
    const char* last = last_error_(of(comm));  // says more than the code does: which call of the system, which peer
    throw CommError(std::string(call) + " failed: " + error_text_(result) + (last && *last ? std::string(" (") + last + ")" : ""));
  }

  int version_ = 0;
  decltype(&ncclGetVersion) get_version_ = nullptr;
  decltype(&ncclGetUniqueId) get_id_ = nullptr;
  decltype(&ncclCommInitRankConfig) init_ = nullptr;
  decltype(&ncclCommGetAsyncError) async_error_ = nullptr;
  decltype(&ncclGroupStart) group_start_ = nullptr;
  decltype(&ncclGroupEnd) group_end_ = nullptr;
  decltype(&ncclSend) send_ = nullptr;
  decltype(&ncclRecv) recv_ = nullptr;
  decltype(&ncclCommFinalize) finalize_ = nullptr;
  decltype(&ncclCommDestroy) destroy_ = nullptr;
  decltype(&ncclCommAbort) abort_ = nullptr;
  decltype(&ncclGetErrorString) error_text_ = nullptr;
  decltype(&ncclGetLastError) last_error_ = nullptr;
};

NcclLibrary load() {
  static RealNccl nccl;
  const std::string why = nccl.load();
  return {why.empty() ? &nccl : nullptr, why};
}

}  // namespace

}  // namespace thinwire::comm

#else

namespace thinwire::comm {
namespace {
NcclLibrary load() { return {nullptr, "this Thinwire was built where there was no nccl.h; install libnccl-dev and build anew"}; }
}  // namespace
}  // namespace thinwire::comm

#endif

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_nccl() {
  static const thinwire::comm::NcclLibrary library = thinwire::comm::load();
  return &library;
}
