#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>

#include "app/build_info.h"
#include "app/command_line.h"
#include "app/configuration.h"
#include "app/failure.h"
#include "app/train.h"
#include "app/verbs.h"
#include "base/cores.h"
#include "base/error.h"
#include "base/log.h"
#include "base/output.h"
#include "comm/grpc/grpc.h"
#include "comm/loopback/loopback.h"
#include "comm/mpi/mpi.h"
#include "comm/nccl/nccl.h"
#include "comm/rendezvous/environment.h"
#include "comm/rendezvous/siblings.h"
#include "comm/rendezvous/start_guard.h"
#include "config/load.h"
#include "trainer/options.h"
#include "trainer/planning.h"
#include "trainer/stop_signal.h"
#include "trainer/trainer.h"

namespace thinwire::app {

std::string choose_transport(const trainer::Options& options, const comm::LaunchEnvironment& env) {
  std::string transport = options.comm.transport;
  if (transport == "auto") transport = env.has_mpi ? "mpi" : env.world > 1 ? "grpc" : "loopback";
  if (transport == "loopback" && env.world > 1) {
    throw ConfigError(
        fmt::format("{} is {}, but transport loopback joins only threads of one process: {} copies would train on their own; use "
                    "comm.transport: mpi under mpirun, grpc elsewhere, or start one process with parallel.dp: {}",
                    env.source, env.world, env.world, env.world));
  }
  return transport;
}

namespace {

struct TrainArguments {
  ConfigArguments config;
  std::string resume = "never";
  bool overwrite = false, dry_run = false;
  std::vector<std::string> argv;
};

void add_options(CLI::App& verb, TrainArguments& arguments) {
  add_config_options(verb, arguments.config)->required();
  verb.add_option("--resume", arguments.resume, "auto: from the newest good checkpoint, if any; never; or a run directory or checkpoint")
      ->type_name("auto|never|PATH");
  verb.add_flag("--overwrite", arguments.overwrite, "replace what an earlier run left in the run directory");
  verb.add_flag("--dry-run", arguments.dry_run,
                "make every check and one step, print the configuration with all defaults and what was found, keep nothing");
}

trainer::Resume parse_resume(const std::string& text) {
  if (text == "never") return {};
  if (text == "auto") return {trainer::Resume::Mode::automatic, {}};
  return {trainer::Resume::Mode::path, text};
}

// Whether processes are joined by MPI, or by gRPC; NCCL is started over either.
bool goes_over_grpc(const std::string& transport, const comm::LaunchEnvironment& env) {
  return transport == "grpc" || (transport == "nccl" && !env.has_mpi && env.world > 1);
}

std::string other_world(const trainer::Options& options, const comm::LaunchEnvironment& env, int world) {
  const int64_t wanted = *options.parallel.dp;
  const std::string from = env.started_alone() ? "one process, transport " + options.comm.transport : "from " + env.source;
  const std::string as_threads = env.started_alone() ? "leave comm.transport out, which makes ranks threads of one process; or " : "";
  return fmt::format(
      "parallel.dp is {0}, but the world is {1} ({2}): start {0} process{3}, by `mpirun -n {0} --bind-to none thinwire train ...` or "
      "`thinwire launch -n {0} -- train ...`; or {4}set parallel.dp to {1}, or leave it out",
      wanted, world, from, wanted == 1 ? "" : "es", as_threads);
}

void check_world(const trainer::Options& options, const comm::LaunchEnvironment& env, int world) {
  if (!env.started_alone() && env.world != world) {
    throw ConfigError(
        fmt::format("{} is {}, but MPI's world is {}: this launcher and MPI do not know of each other; start with mpirun, or use "
                    "comm.transport: grpc",
                    env.source, env.world, world));
  }
  if (options.parallel.dp && *options.parallel.dp != world) throw ConfigError(other_world(options, env, world));
}

void warn_when_bound_to_one_core() {
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (cores == 1 || bound_cores() > 1) return;
  log::warn("this rank is bound to one of {} cores, which its communication thread has to share; start mpirun with --bind-to none", cores);
}

// Once a host: its ranks have as many each.
void warn_of_more_threads_than_cores(int64_t threads, const comm::LaunchEnvironment& env) {
  const double cores = std::max(1.0, usable_cores());
  if (env.local_rank != 0 || static_cast<double>(threads) <= cores) return;
  log::warn("run.threads is {}, but a rank here may use {:g} core{}: threads that take turns slow it down; set run.threads to {} or less",
            threads, cores, cores == 1 ? "" : "s", static_cast<int64_t>(cores));
}

// Before ranks part: mpirun ends those that are left as soon as one has ended with a code.
ExitCode told(const trainer::Ended& ended) { return ended.why.empty() ? ended.code : tell_once({ended.code, ended.why}); }

// Signals ask for a checkpoint from when there is something to save. While ranks still look for one another they end the process, which
// else would go on waiting for whom a launcher has already seen fail.

ExitCode train_as_threads(const trainer::Options& options, const trainer::RunRequest& request) {
  trainer::install_stop_handlers();
  const int world = static_cast<int>(options.parallel.dp.value_or(1));
  const auto hub = comm::make_loopback_hub(world);
  std::mutex mutex;
  std::exception_ptr first_failure;  // the others only fail because of it
  ExitCode code = ExitCode::ok;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world; ++rank) {
    ranks.emplace_back([&, rank, said = log::current()] {
      if (rank == 0)
        log::adopt(said);  // what was said so far is the first's
      else
        log::set_rank(rank);
      try {
        const auto transport = comm::make_loopback_transport(hub, rank);
        const trainer::Ended ended = trainer::train(options, *transport, request);
        const std::lock_guard lock(mutex);
        if (rank == 0) code = told(ended);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first_failure) first_failure = std::current_exception();
      }
    });
  }
  for (auto& rank : ranks) rank.join();
  if (first_failure) std::rethrow_exception(first_failure);
  return code;
}

// From any thread: for a rank that hangs.
[[noreturn]] void end_process(ExitCode code, const std::string& why) { comm::MpiSession::abort_process(tell({code, why})); }

// MPI waits for ranks that do not come without end, and cannot say for whom.
[[noreturn]] void end_start(double limit_s, const comm::LaunchEnvironment& env) {
  const std::string absent = comm::describe_absent(comm::siblings("OMPI_COMM_WORLD_RANK"), getpid(), env.world);
  end_process(ExitCode::comm, fmt::format("not all {} ranks have come to MPI within {:g} s (comm.start_timeout){}{}", env.world, limit_s,
                                          absent.empty() ? "" : ": ", absent));
}

ExitCode train_over_mpi(const trainer::Options& options, const comm::LaunchEnvironment& env, trainer::RunRequest request) {
  const double limit_s = options.comm.start_timeout_s;
  auto guard = std::make_unique<comm::StartGuard>(limit_s, [&env, limit_s] { end_start(limit_s, env); });
  request.on_connected = [&guard] { guard.reset(); };
  const comm::MpiSession session;
  try {
    check_world(options, env, session.world_size());
    const auto mpi = comm::make_mpi_transport();
    const auto nccl = options.comm.transport == "nccl" ? comm::make_nccl_transport(*mpi, env, options.comm.start_timeout_s) : nullptr;
    trainer::install_stop_handlers();
    return told(trainer::train(options, nccl ? *nccl : *mpi, request));
  } catch (...) {
    comm::MpiSession::abort_process(tell(failure_of(std::current_exception())));  // peers may be waiting for us within MPI
  }
}

ExitCode train_over_grpc(const trainer::Options& options, const comm::LaunchEnvironment& env, const trainer::RunRequest& request) {
  const auto grpc = comm::make_grpc_transport(env, options.comm);
  const auto nccl = options.comm.transport == "nccl" ? comm::make_nccl_transport(*grpc, env, options.comm.start_timeout_s) : nullptr;
  trainer::install_stop_handlers();
  return told(trainer::train(options, nccl ? *nccl : *grpc, request));
}

// A configuration that these arguments may train with, as far as can be said before ranks meet.
struct Loaded {
  trainer::Options options;
  config::Section root = config::describe_root(options);
  std::string transport;
  bool has_processes = false;
  int world = 1;
};

std::unique_ptr<Loaded> load(const TrainArguments& arguments, const comm::LaunchEnvironment& env) {
  if (arguments.overwrite && arguments.resume == "auto") {
    throw ConfigError("--overwrite and --resume contradict each other: one starts anew, the other goes on");
  }
  auto loaded = std::make_unique<Loaded>();
  load_into(loaded->root, arguments.config);
  loaded->transport = choose_transport(loaded->options, env);
  loaded->has_processes = loaded->transport != "loopback";
  loaded->world = loaded->has_processes ? env.world : static_cast<int>(loaded->options.parallel.dp.value_or(1));
  if (goes_over_grpc(loaded->transport, env)) check_world(loaded->options, env, env.world);
  trainer::micro_batches_per_rank(loaded->options.data, loaded->world);  // refuses what does not divide
  trainer::checked_slots(loaded->options);                               // and codecs that do not go with the model
  return loaded;
}

int run_train(const TrainArguments& arguments) {
  const auto env = comm::detect_environment();
  const auto loaded = load(arguments, env);
  const trainer::Options& options = loaded->options;
  const auto& root = loaded->root;
  const std::string& transport = loaded->transport;
  trainer::RunRequest request;
  request.resume = parse_resume(arguments.resume);
  request.overwrite = arguments.overwrite;
  request.dry_run = arguments.dry_run;
  request.config_stem = arguments.config.stem();
  request.resolved_yaml = config::print(root);
  request.config = config::flatten(root);
  request.argv = arguments.argv;
  request.version = kVersion;
  request.build = build_description();
  warn_when_bound_to_one_core();
  warn_of_more_threads_than_cores(options.run.threads, env);
  request.on_directory = [](const std::filesystem::path& directory) {  // for our launcher, which keeps files there too
    if (const auto note = comm::environment_variable("THINWIRE_RUN_NOTE"))
      write_text(*note, std::filesystem::absolute(directory).string() + "\n");
  };
  request.end_process = end_process;
  const ExitCode code = goes_over_grpc(transport, env) ? train_over_grpc(options, env, request)
                        : loaded->has_processes        ? train_over_mpi(options, env, request)
                                                       : train_as_threads(options, request);
  return static_cast<int>(code);
}

}  // namespace

void add_train(CLI::App& app, int argc, char** argv, Action& action) {
  auto* verb = app.add_subcommand("train", "Trains; alone with ranks as threads, or as one rank under launch, torchrun, mpirun or srun");
  auto arguments = std::make_shared<TrainArguments>();
  arguments->argv.assign(argv, argv + argc);
  add_options(*verb, *arguments);
  verb->callback([arguments, &action] { action = [arguments] { return run_train(*arguments); }; });
}

std::string check_train(std::vector<std::string> words, const comm::LaunchEnvironment& env) {
  CLI::App verb("what every rank runs", "thinwire train");
  verb.option_defaults()->always_capture_default();
  TrainArguments arguments;
  add_options(verb, arguments);
  arguments.config.tells_unused = false;  // its ranks will
  if (!parse(verb, std::move(words))) return "";
  return load(arguments, env)->transport;
}

}  // namespace thinwire::app
