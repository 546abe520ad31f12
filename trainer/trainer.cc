#include "trainer/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/flight.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/output.h"
#include "base/trace.h"
#include "exchange/attach.h"
#include "models/cuda.h"
#include "models/graph/graph.h"
#include "trainer/agreement.h"
#include "trainer/announce.h"
#include "trainer/estimating.h"
#include "trainer/loop.h"
#include "trainer/parts.h"
#include "trainer/planning.h"
#include "trainer/pretrained/pretrained.h"
#include "trainer/rehearsal.h"
#include "trainer/resume.h"

namespace thinwire::trainer {

std::vector<at::Tensor> values_of(const models::Model& model) {
  std::vector<at::Tensor> values;
  for (const auto& parameter : model.parameters()) values.push_back(parameter.value);
  return values;
}

void place_gradients(Parts& parts) { exchange::point_gradients(values_of(*parts.model), *parts.schedule); }

namespace {

// Rank 0 decides where the run lives; all others follow.
RunLocation agree_on_location(comm::Driver& driver, const Options& options, const RunRequest& request) {
  RunLocation location;
  on_rank_zero(driver, "locating the run", [&] { location = locate_run(options.run, request.resume, request.config_stem); });
  location.may_resume = request.resume.mode != Resume::Mode::never;
  location.directory = broadcast_text(driver, "locating the run", location.directory.string());
  location.source = broadcast_text(driver, "locating the run", location.source.string());
  const std::string step = broadcast_text(driver, "locating the run", location.step ? std::to_string(*location.step) : "");
  location.step = step.empty() ? std::nullopt : std::optional<int64_t>(std::stoll(step));
  on_rank_zero(driver, "looking at the run directory",
               [&] { check_directory(location.directory, if_occupied(location, request.overwrite)); });
  return location;
}

std::vector<std::span<float>> spans_of(const models::Model& model) {
  std::vector<std::span<float>> spans;
  for (const auto& parameter : model.parameters()) {
    spans.emplace_back(parameter.value.data_ptr<float>(), static_cast<size_t>(parameter.value.numel()));
  }
  return spans;
}

void write_run_files(const Parts& parts, const comm::Transport& transport, const std::vector<std::string>& hosts) {
  const auto& request = parts.request;
  if (const auto& tokenizer = parts.task->facts().tokenizer; tokenizer && parts.options.data.tokenizer != "byte") {
    for (const auto& [name, content] : tokenizer->files()) write_text(tokenizer_folder(parts.location.directory) / name, content);
  }
  write_text(parts.location.directory / "config.yaml", request.resolved_yaml);
  write_text(parts.location.directory / "run.json",
             nlohmann::ordered_json{{"argv", request.argv},
                                    {"version", request.version},
                                    {"build", request.build},
                                    {"hosts", hosts},
                                    {"world", parts.driver.size()},
                                    {"transport", transport.name()},
                                    {"params", parts.model->num_parameters()},
                                    {"device", parts.device.description},
                                    {"precision", parts.precision.used},
                                    {"branched_from", parts.location.branches() ? parts.location.source.string() : ""},
                                    {"config_hash", to_hex(hash64(request.resolved_yaml))},
                                    {"data_hash", to_hex(parts.task->facts().hash)}}
                     .dump(2) +
                 "\n");
}

std::vector<std::string> host_names(comm::Driver& driver) {
  std::vector<std::string> names;
  for (const auto& bytes : gather_bytes(driver, "host names", bytes_of(std::string_view(log::host_name())), 256)) {
    names.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return names;
}

// Each rank writes its own part of a checkpoint there: better refused now than at the first save.
void require_shared_storage(comm::Driver& driver, const std::filesystem::path& directory, const std::vector<std::string>& hosts) {
  const auto sees = gather_values(driver, "looking for the run directory", int{std::filesystem::exists(directory / "run.json")});
  for (size_t rank = 0; rank < sees.size(); ++rank) {
    if (sees[rank] != 0) continue;
    throw ConfigError(
        fmt::format("rank {} on {} does not see {}, which rank 0 on {} has made: run.dir must be on storage that every host shares, under "
                    "the same path",
                    rank, hosts[rank], directory.string(), hosts[0]));
  }
}

// This thread's trace, for as long as it lives.
class Tracing {
 public:
  Tracing(bool on, const std::filesystem::path& directory, int rank) {
    if (on) trace::adopt(std::make_shared<trace::Recorder>(directory / "trace" / fmt::format("rank_{:05}.json", rank), rank));
  }
  ~Tracing() { trace::adopt(nullptr); }
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;
};

// What this rank's threads do is noted, for as long as it lives.
class Recording {
 public:
  Recording(int rank, int64_t lanes) {
    constexpr size_t kOthers = 5;  // training, control, background, saver, disk
    flight::adopt(std::make_shared<flight::Recorder>(rank, kOthers + static_cast<size_t>(lanes)), "training");
  }
  ~Recording() { flight::adopt(nullptr); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
};

Deadlines deadlines_of(const Options& o) {
  return {o.comm.start_timeout_s, o.comm.timeout_s, o.checkpoint.timeout_s, o.run.stall_timeout_s};
}

// Ranks of one host get one number.
std::vector<int> nodes_of(const std::vector<std::string>& hosts) {
  std::vector<int> nodes;
  for (const auto& host : hosts) nodes.push_back(static_cast<int>(std::find(hosts.begin(), hosts.end(), host) - hosts.begin()));
  return nodes;
}

// What auto has become is compared on resume, here and below: another choice would be another trajectory.
void set_device(Parts& parts, models::Model& model, const std::vector<std::string>& hosts) {
  parts.device = choose_device(parts.driver, parts.options.run.device, hosts);
  parts.config["run.device"] = parts.device.at.is_cpu() ? "cpu" : "cuda";
  if (parts.device.at.is_cpu()) return;
  models::use_own_stream(parts.device.at);
  model.move_to(parts.device.at);
}

void set_precision(Parts& parts, std::unique_ptr<models::Model> model) {
  const int64_t rows = parts.options.data.micro_batch * parts.task->facts().sample_tokens;
  parts.precision = choose_precision(parts.driver, parts.options.run.precision, *model, rows);
  parts.config["run.precision"] = parts.precision.used;
  parts.model = apply_precision(parts.precision, std::move(model));
}

// Recorded passes tell of no gradient before the last, so auto takes them where the exchange does not begin during backward.
bool wants_graph(const Parts& parts) {
  const Options& o = parts.options;
  if (o.run.cuda_graph == "off" || (o.run.cuda_graph == "auto" && parts.device.at.is_cpu())) return false;
  const std::string why_not = parts.device.at.is_cpu() ? "the model lives on the host" : models::why_no_graphs();
  if (o.run.cuda_graph == "on" && !why_not.empty())
    throw ConfigError("run.cuda_graph is on, but " + why_not + "; set run.cuda_graph: auto");
  const bool overlaps = o.exchange.schedule == "every_step" && parts.driver.size() > 1;
  return why_not.empty() && (o.run.cuda_graph == "on" || !overlaps);
}

void build_exchange(Parts& parts, exchange::SlotTable table, const std::vector<std::string>& hosts) {
  const Options& options = parts.options;
  if (!parts.device.at.is_cpu()) parts.residence = make_residence(parts.device.at);
  parts.exchange = std::make_unique<exchange::Exchange>(parts.driver, std::move(table), options.compress.error_feedback,
                                                        options.exchange.overlap, static_cast<uint64_t>(options.run.seed),
                                                        options.exchange.hierarchy == "node" ? nodes_of(hosts) : std::vector<int>(),
                                                        parts.residence ? *parts.residence : exchange::host_residence());
  parts.schedule = exchange::make_schedule(options.exchange, *parts.exchange, spans_of(*parts.model));
  place_gradients(parts);
  exchange::hook_gradients(values_of(*parts.model), *parts.schedule, parts.armed);
}

// Whether there is a checkpoint that resume() will take, which has weights of its own.
bool goes_on(Parts& parts) { return parts.location.may_resume && (parts.location.step || parts.source().newest_good()); }

// model.init, on every rank: all have to read the same bytes.
void initialise_all(Parts& parts, const models::Model& model) {
  initialise(model, parts.options.model, parts.task->facts().num_classes);
  StreamingHash hash;
  for (const auto values : spans_of(model)) hash.update(bytes_of(values));
  require_same(parts.driver, {{"weights of model.init (hash)", to_hex(hash.digest())}});
}

void build(Parts& parts, const std::vector<std::string>& hosts) {
  const Options& options = parts.options;
  const auto seed = static_cast<uint64_t>(options.run.seed);
  parts.task = make_task(options);
  const auto store_of = [&](const std::filesystem::path& run) {
    return std::make_unique<checkpoint::Store>(run / "checkpoints", parts.driver, options.checkpoint);
  };
  parts.store = store_of(parts.location.directory);
  if (parts.location.branches()) parts.branched_from = store_of(parts.location.source);
  auto model = models::make_model(options.model, parts.task->facts().num_classes, seed);
  if (!options.model.init.empty() && !goes_on(parts)) initialise_all(parts, *model);
  auto slots = slots_of(*model, options);
  exchange::SlotTable table(slots, options.exchange.bucket_bytes);
  require_same(parts.driver, {{"data (hash)", to_hex(parts.task->facts().hash)}, {"exchange layout (hash)", to_hex(table.hash())}});
  set_device(parts, *model, hosts);
  set_precision(parts, std::move(model));
  parts.passes_as_graph = wants_graph(parts);
  build_exchange(parts, std::move(table), hosts);
  parts.planner =
      std::make_unique<exchange::Planner>(options.compress, std::move(slots), options.exchange.bucket_bytes, *parts.exchange, seed);
  parts.optimizer = make_optimizer(options.optim, parts.model->parameters());  // over the gradients just attached
}

// On a GPU nearly all of it is elsewhere.
bool lives_on_host(const Options& options) {
  return options.run.device == "cpu" || (options.run.device == "auto" && models::num_gpus() == 0);
}

Setting setting_of(const comm::Driver& driver, const comm::Transport& transport, const std::vector<std::string>& hosts) {
  const auto here = std::count(hosts.begin(), hosts.end(), hosts[static_cast<size_t>(driver.rank())]);
  return {driver.size(), static_cast<int>(here), transport.name() == "loopback" ? driver.size() : 1};
}

// Everything that can refuse a run comes before its directory is touched: a refused run may be corrected and started again.
Ended train_connected(const Options& options, comm::Transport& transport, const RunRequest& request, comm::Driver& driver,
                      Watchdog& watchdog) {
  auto facts = request.config;
  facts["program version"] = request.version;
  facts["program build"] = request.build;
  require_same(driver, facts);

  Parts parts(options, request, driver, watchdog);
  parts.micro_batches = micro_batches_per_rank(options.data, driver.size());
  parts.location = agree_on_location(driver, options, request);
  const auto hosts = host_names(driver);
  const Setting setting = setting_of(driver, transport, hosts);
  const auto outlook = lives_on_host(options) ? std::optional(require_memory(driver, options, setting)) : std::nullopt;
  build(parts, hosts);
  RunLock lock;
  if (parts.location.may_resume)
    on_rank_zero(driver, "locking the run directory", [&] { lock = lock_former_run(parts.location.directory); });
  const Restored restored = resume(parts);
  const estimate::Subject subject = subject_of(options, setting);
  const bool trains = restored.step < options.run.steps;
  if (trains) require_room(driver, parts.location.directory, if_occupied(parts.location, request.overwrite), subject);
  if (request.dry_run) return {rehearse(parts, restored, transport, subject, outlook)};

  on_rank_zero(driver, "preparing the run directory", [&] {
    lock = prepare_directory(parts.location.directory, if_occupied(parts.location, request.overwrite), std::move(lock));
    if (trains) write_run_files(parts, transport, hosts);
  });
  require_shared_storage(driver, parts.location.directory, hosts);
  watchdog.use_directory(parts.location.directory);
  if (request.on_directory) request.on_directory(parts.location.directory);
  log::open_file(parts.location.directory / "logs" / fmt::format("rank_{:05}.log", driver.rank()));
  const Tracing tracing(options.log.trace, parts.location.directory, driver.rank());
  announce(parts, transport);
  warn_of_odd_choices(parts);
  return Loop(parts, restored).run();
}

}  // namespace

Ended train(const Options& options, comm::Transport& transport, const RunRequest& request) {
  at::set_num_threads(static_cast<int>(options.run.threads));
  const Recording recording(transport.world_rank(), options.comm.lanes);
  Watchdog watchdog(flight::current(), request.end_process);
  comm::Driver driver(transport, options.comm.timeout_s, static_cast<int>(options.comm.lanes));
  const Watchdog::Watch watch(watchdog, driver, deadlines_of(options));
  if (request.on_connected) request.on_connected();
  try {
    return train_connected(options, transport, request, driver, watchdog);
  } catch (...) {
    const auto [code, why] = failure_of(std::current_exception());
    watchdog.failed(code, why);
    driver.abort(code, why);
    throw;
  }
}

}  // namespace thinwire::trainer
