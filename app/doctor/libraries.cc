#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "app/build_info.h"
#include "app/doctor/checks.h"
#include "app/doctor/cuda.h"
#include "app/verbs.h"
#include "comm/libraries.h"
#include "models/library.h"

namespace thinwire::app::doctor {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLibraries = "libraries";

std::string found_program(const std::string& name) {
  std::istringstream folders(comm::environment_variable("PATH").value_or("/usr/bin:/bin"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path path = fs::path(folder) / name;
    if (access(path.c_str(), X_OK) == 0) return path.string();
  }
  return "";
}

Finding check_program(const std::string& name, const std::string& for_what, const std::string& package) {
  const std::string path = found_program(name);
  if (!path.empty()) return {kLibraries, name, path};
  return note(kLibraries, name, "not found; " + for_what + " needs it", "sudo apt-get install " + package);
}

}  // namespace

Findings check_libraries(const Patient& patient) {
  Findings findings;
  findings.push_back({kLibraries, "thinwire", fmt::format("{}, commit {}, {}, {}", kVersion, kCommit, kBuildType, kCompiler)});
  findings.push_back({kLibraries, "LibTorch",
                      fmt::format("{}, kernels for {}, threads by {}: {}", kTorchVersion, models::cpu_capability(),
                                  models::parallel_backend(), models::torch_path())});
  findings.push_back({kLibraries, "MPI", comm::mpi_library() + ", built with " + kMpiVersion});
  findings.push_back({kLibraries, "gRPC", comm::grpc_library()});
  findings.push_back({kLibraries, "transports", "loopback, mpi, grpc, nccl"});
  const CudaUse use{patient.options.run.device == "cuda", patient.transport == "nccl"};
  for (Finding& finding : findings_of(examine_cuda(), use)) findings.push_back(std::move(finding));
  findings.push_back(check_program("mpirun", "transport mpi", "openmpi-bin"));
  findings.push_back(check_program("ssh", "launch --hostfile, or mpirun on several hosts,", "openssh-client"));
  return findings;
}

}  // namespace thinwire::app::doctor
