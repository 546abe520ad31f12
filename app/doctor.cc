#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/build_info.h"
#include "app/configuration.h"
#include "app/doctor/checks.h"
#include "app/doctor/links.h"
#include "app/train.h"
#include "app/verbs.h"
#include "base/log.h"
#include "comm/grpc/grpc.h"
#include "comm/mpi/mpi.h"
#include "comm/nccl/nccl.h"
#include "config/load.h"
#include "trainer/agreement.h"

namespace thinwire::app {

namespace {

using doctor::Finding;
using doctor::Findings;

constexpr double kPatience_s = 30;  // for one message of a peer
constexpr size_t kMostBytes = size_t{1} << 20;

struct DoctorArguments {
  ConfigArguments config;
  bool json = false;
};

void append(Findings& to, const Findings& more) { to.insert(to.end(), more.begin(), more.end()); }

// What is wrong with this rank, and what rank 0 would not see otherwise.
std::string told_to_rank_zero(const Findings& findings) {
  Findings told;
  for (const Finding& f : findings) {
    if (f.state == Finding::State::bad || f.state == Finding::State::note) told.push_back(f);
  }
  return nlohmann::ordered_json{{"host", log::host_name()}, {"build", build_description()}, {"findings", doctor::to_json(told)}}.dump();
}

struct Peer {
  std::string host, build;
  Findings findings;
};

std::vector<Peer> gather_peers(comm::Driver& driver, const Findings& mine) {
  std::vector<Peer> peers;
  for (const auto& bytes :
       trainer::gather_bytes(driver, "what ranks found", bytes_of(std::string_view(told_to_rank_zero(mine))), kMostBytes)) {
    try {
      const auto json = nlohmann::json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
      peers.push_back({json.at("host"), json.at("build"), doctor::from_json(json.at("findings"))});
    } catch (const nlohmann::json::exception& e) {
      throw CommError(fmt::format("rank {} told of its findings in words that make no sense: {}", peers.size(), e.what()));
    }
  }
  return peers;
}

// Of a host's ranks the first speaks; what rank 0 has said of its own host is not said again.
Findings of_other_hosts(const std::vector<Peer>& peers) {
  Findings findings;
  std::vector<std::string> heard = {peers.front().host};
  for (size_t rank = 1; rank < peers.size(); ++rank) {
    const Peer& peer = peers[rank];
    if (peer.build != peers.front().build)
      findings.push_back(doctor::bad(ExitCode::comm, "ranks", fmt::format("rank {} on {}", rank, peer.host),
                                     "is another build: " + peer.build + "; rank 0: " + peers.front().build,
                                     "install the same build everywhere"));
    if (std::find(heard.begin(), heard.end(), peer.host) != heard.end()) continue;
    heard.push_back(peer.host);
    for (Finding finding : peer.findings) {
      finding.section = "host " + peer.host;
      findings.push_back(std::move(finding));
    }
  }
  return findings;
}

Findings examine_together(comm::Transport& transport, const Findings& mine) {
  comm::Driver driver(transport, kPatience_s, 1);
  const auto peers = gather_peers(driver, mine);
  std::vector<std::string> hosts;
  for (const Peer& peer : peers) hosts.push_back(peer.host);
  Findings findings = of_other_hosts(peers);
  append(findings, doctor::findings_of(doctor::measure_links(driver), hosts));
  return findings;
}

Findings examine_peers(const doctor::Patient& patient, const Findings& mine) {
  const auto& env = patient.environment;
  const auto over = [&](comm::Transport& joined) {
    const auto nccl = patient.transport == "nccl" ? comm::make_nccl_transport(joined, env, kPatience_s) : nullptr;
    return examine_together(nccl ? *nccl : joined, mine);
  };
  if (env.has_mpi && patient.transport != "grpc") {
    const comm::MpiSession session;
    const auto mpi = comm::make_mpi_transport();
    if (mpi->world_size() != env.world)
      throw CommError(fmt::format("{} is {}, but MPI's world is {}: this launcher and MPI do not know of each other", env.source, env.world,
                                  mpi->world_size()));
    return over(*mpi);
  }
  const auto grpc = comm::make_grpc_transport(env, patient.options.comm);
  return over(*grpc);
}

int run_doctor(const DoctorArguments& arguments) {
  trainer::Options options;
  options.comm.start_timeout_s = kPatience_s;
  auto root = config::describe_root(options);
  if (!arguments.config.files.empty() || !arguments.config.sets.empty()) load_into(root, arguments.config);
  const auto env = comm::detect_environment();
  const doctor::Patient patient{options, !arguments.config.files.empty(), env, choose_transport(options, env)};
  Findings findings;
  for (const auto& check :
       {doctor::check_libraries, doctor::check_settings, doctor::check_data, doctor::check_machine, doctor::check_network})
    append(findings, check(patient));
  const bool prints_text = env.rank == 0 && !arguments.json;
  if (prints_text) {  // before ranks are joined: that may end this process
    fmt::print("{}\n", doctor::to_text(findings));
    std::fflush(stdout);
  }
  const auto num_local = static_cast<std::ptrdiff_t>(findings.size());
  if (env.world > 1) {
    const auto where = fmt::format("{} ranks over {}, from {}", env.world, patient.transport, env.source);
    try {
      findings.push_back({"ranks", "joined", where});
      append(findings, examine_peers(patient, findings));
    } catch (const Error& e) {
      findings.back() = doctor::bad(e.code(), "ranks", "not joined", where + ": " + e.what(), "what is BAD above, first");
    }
  }
  const ExitCode code = doctor::code_of(findings);
  const Findings together(findings.begin() + num_local, findings.end());
  if (env.rank != 0) return static_cast<int>(code);
  if (!prints_text)
    fmt::print("{}\n", nlohmann::ordered_json{{"code", static_cast<int>(code)}, {"findings", doctor::to_json(findings)}}.dump(2));
  else
    fmt::print("{}{}\n", together.empty() ? "" : doctor::to_text(together) + "\n",
               code == ExitCode::ok ? "well" : fmt::format("not well: a run would end with {}", static_cast<int>(code)));
  return static_cast<int>(code);
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand(
      "doctor", "Examines this host, and under mpirun, launch, torchrun or srun the links between ranks (docs/before_you_start.md)");
  auto arguments = std::make_shared<DoctorArguments>();
  add_config_options(*verb, arguments->config);
  verb->add_flag("--json", arguments->json, "the same for programs");
  verb->callback([arguments, &action] { action = [arguments] { return run_doctor(*arguments); }; });
}

}  // namespace thinwire::app
