#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/build_info.h"
#include "app/doctor/checks.h"
#include "app/verbs.h"
#include "base/cuda/module.h"
#include "base/text.h"
#include "comm/libraries.h"
#include "comm/nccl/nccl.h"
#include "data/footprint.h"
#include "models/cuda.h"
#include "models/library.h"

namespace thinwire::app::doctor {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSection = "libraries";

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
  if (!path.empty()) return {kSection, name, path};
  return note(kSection, name, "not found; " + for_what + " needs it", "sudo apt-get install " + package);
}

std::string first_line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void add_cuda(const Patient& patient, Findings& findings) {
  const bool wants = patient.options.run.device == "cuda" || patient.transport == "nccl";
  const std::string driver = first_line_of("/proc/driver/nvidia/version"), why = cuda::why_unavailable();
  const auto absent = [&](const char* name, const std::string& what, const std::string& fix) {
    findings.push_back(wants ? bad(ExitCode::usage, kSection, name, what, fix) : note(kSection, name, what, fix));
  };
  if (!driver.empty()) findings.push_back({kSection, "NVIDIA driver", driver});
  if (!why.empty()) {
    absent("CUDA", why,
           driver.empty() ? "without a GPU nothing; with one: sudo apt-get install nvidia-driver" : "THINWIRE_CUDA=ON ./run build");
    return;
  }
  for (int i = 0; i < cuda::runtime().num_devices(); ++i)
    findings.push_back({kSection, fmt::format("GPU {}", i), cuda::runtime().describe(i)});
  if (const auto& lacks = models::why_no_cuda(); !lacks.empty()) absent("LibTorch on the GPU", lacks, "THINWIRE_CUDA=ON ./run build");
  if (const std::string lacks = comm::why_no_nccl(); !lacks.empty()) {
    absent("NCCL", lacks, "sudo apt-get install libnccl2, or THINWIRE_CUDA=ON ./run build");
  } else {
    findings.push_back({kSection, "NCCL", comm::nccl_library()});
  }
}

}  // namespace

Findings check_libraries(const Patient& patient) {
  Findings findings;
  findings.push_back({kSection, "thinwire", fmt::format("{}, commit {}, {}, {}", kVersion, kCommit, kBuildType, kCompiler)});
  findings.push_back({kSection, "LibTorch",
                      fmt::format("{}, kernels for {}, threads by {}: {}", kTorchVersion, models::cpu_capability(),
                                  models::parallel_backend(), models::torch_path())});
  findings.push_back({kSection, "MPI", comm::mpi_library() + ", built with " + kMpiVersion});
  findings.push_back({kSection, "gRPC", comm::grpc_library()});
  findings.push_back({kSection, "transports", "loopback, mpi, grpc, nccl"});
  add_cuda(patient, findings);
  findings.push_back(check_program("mpirun", "transport mpi", "openmpi-bin"));
  findings.push_back(check_program("ssh", "launch --hostfile, or mpirun on several hosts,", "openssh-client"));
  return findings;
}

Findings check_data(const Patient& patient) {
  const auto state = [&](const std::string& source, const std::string& fix, bool is_wanted) -> Finding {
    data::DataOptions options = patient.options.data;
    options.source = source;
    const auto found = data::footprint(options);
    if (found.is_known) return {"data", source, human_bytes(found.kept_bytes) + " in memory"};
    return is_wanted ? bad(ExitCode::data, "data", source, "its files are not here", fix)
                     : note("data", source, "its files are not here", fix);
  };
  const std::string& wanted = patient.options.data.source;
  const auto is_wanted = [&](const char* source) { return patient.is_configured && wanted == source; };
  Findings findings{state("gcide", "sudo apt-get install dict-gcide", is_wanted("gcide")),
                    state("fashion_mnist", "sudo apt-get install dataset-fashion-mnist", is_wanted("fashion_mnist"))};
  if (is_wanted("text") || is_wanted("tokens")) findings.push_back(state(wanted, "correct data.files", true));
  return findings;
}

}  // namespace thinwire::app::doctor
