#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include "base/log.h"
#include "base/text.h"
#include "checkpoint/agreement.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/retention.h"
#include "checkpoint/shards.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxListedMismatches = 10;
constexpr double kSpaceMargin = 1.1;

[[noreturn]] void not_shared(const fs::path& path) {
  throw CheckpointError(
      fmt::format("the host {} does not see {}: run.dir must be on storage that every host shares", log::host_name(), path.string()));
}

// Differs between saves; no result depends on it.
std::string fresh_id() {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return to_hex(hash64(fmt::format("{} {}", getpid(), now))).substr(0, 8);
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

// Of everything in a save that must be the same on all ranks.
std::string fingerprint(int64_t step, const State& state) {
  std::string text = fmt::format("{}\n", step);
  for (const StateTensor& tensor : state.tensors) {
    if (tensor.scope != Scope::replicated) continue;
    text += fmt::format("{}\n{}\n", tensor.name, dtype_name(tensor.dtype));
    for (const int64_t dimension : tensor.shape) text += fmt::format("{}\n", dimension);
  }
  for (const auto& [name, value] : state.numbers) text += fmt::format("{}\n{}\n", name, value);
  return to_hex(hash64(text));
}

std::string to_text(const std::vector<ManifestFile>& files) {
  std::string text;
  for (const ManifestFile& file : files) text += fmt::format("{} {} {}\n", file.name, file.summary.bytes, file.summary.hash);
  return text;
}

std::vector<ManifestFile> to_files(const std::vector<RankResult>& results) {
  std::vector<ManifestFile> files;
  for (const RankResult& result : results) {
    std::istringstream lines(result.text);
    for (ManifestFile file; lines >> file.name >> file.summary.bytes >> file.summary.hash;) files.push_back(file);
  }
  return files;
}

std::string listed(const std::vector<std::string>& mismatches) {
  std::string text = fmt::format("it does not fit this run, {} difference{}:", mismatches.size(), mismatches.size() == 1 ? "" : "s");
  for (size_t i = 0; i < mismatches.size() && i < kMaxListedMismatches; ++i) text += "\n  " + mismatches[i];
  if (mismatches.size() > kMaxListedMismatches) text += fmt::format("\n  and {} more", mismatches.size() - kMaxListedMismatches);
  return text;
}

SavedShards read_fitting(const fs::path& path, const State& state, const comm::Driver& driver) {
  if (!fs::exists(path)) throw CheckpointError("it does not exist; `thinwire ckpt ls` shows those that do");
  const Manifest manifest = read_manifest(path);
  if (manifest.world != driver.size()) {
    throw CheckpointError(fmt::format("it was saved by {} rank{}, this run has {}; start it with {} (parallel.dp)", manifest.world,
                                      manifest.world == 1 ? "" : "s", driver.size(), manifest.world));
  }
  SavedShards saved(path, manifest, driver.rank());
  const std::vector<std::string> mismatches = saved.mismatches(state);
  if (!mismatches.empty()) throw CheckpointError(listed(mismatches));
  return saved;
}

// Every file of the checkpoint is somebody's, whatever the world was that saved it.
bool is_mine(const std::string& file, const Manifest& manifest, const comm::Driver& driver) {
  if (file == kModelFileName) return driver.rank() == 0;
  for (int saved_by = driver.rank(); saved_by < manifest.world; saved_by += driver.size()) {
    if (file == rank_file_name(saved_by)) return true;
  }
  return false;
}

// Empty when this rank's share of the files is whole.
std::string defect_here(const fs::path& path, const comm::Driver& driver) {
  if (!fs::exists(path)) not_shared(path);
  try {
    const Manifest manifest = read_manifest(path);
    for (const ManifestFile& file : manifest.files) {
      if (is_mine(file.name, manifest, driver)) open_checked(file, path);
    }
  } catch (const NewerVersion&) {
    throw;
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

Store::Store(fs::path directory, comm::Driver& driver, CheckpointOptions options, std::shared_ptr<Files> files)
    : directory_(std::move(directory)), driver_(driver), options_(std::move(options)), files_(std::move(files)) {}

fs::path Store::path_of(int64_t step) const { return directory_ / step_name(step); }

void Store::save(int64_t step, const State& state, const RunFacts& facts) {
  check(step >= 0 && options_.keep >= 0, "steps and counts are not negative");
  const std::string failed = fmt::format("checkpoint {} was not saved", path_of(step).string());
  const auto agree = [&](const char* what, const std::function<std::string()>& work) {
    std::vector<RankResult> results = together(driver_, what, work);
    throw_if_any_failed(results, failed);
    return results;
  };
  const bool first = driver_.rank() == 0;
  const std::string id = fresh_id();
  const uint64_t total_bytes = agreed_estimate(step, state);
  const std::string temporary = agree("prepare", [&] { return first ? prepare(step, total_bytes, id) : std::string(); }).front().text;
  try {
    const auto written = agree("write", [&] {
      if (!fs::exists(directory_ / temporary)) not_shared(directory_ / temporary);
      return to_text(write_shards(*files_, directory_ / temporary, driver_.rank(), step, state, options_));
    });
    Manifest manifest{step, driver_.size(), utc_now(), facts, state.numbers, to_files(written), {}};
    agree("commit", [&] { return first ? commit(step, temporary, manifest, id) : std::string(); });
  } catch (const CheckpointError&) {
    if (first) abandon(*files_, directory_, temporary);
    throw;
  }
}

uint64_t Store::agreed_estimate(int64_t step, const State& state) {
  const auto results =
      together(driver_, "compare", [&] { return fmt::format("{} {}", fingerprint(step, state), estimated_bytes(driver_.rank(), state)); });
  throw_if_any_failed(results, "cannot save a checkpoint");
  uint64_t total_bytes = 0;
  for (size_t rank = 0; rank < results.size(); ++rank) {
    const auto print_of = [&](size_t r) { return results[r].text.substr(0, results[r].text.find(' ')); };
    if (print_of(rank) != print_of(0)) {
      throw CheckpointError(
          fmt::format("cannot save a checkpoint: rank {} differs from rank 0 in step, numbers or the list of replicated tensors", rank));
    }
    total_bytes += std::stoull(results[rank].text.substr(results[rank].text.find(' ') + 1));
  }
  return total_bytes;
}

// Returns the name of the directory that everyone writes into.
std::string Store::prepare(int64_t step, uint64_t total_bytes, const std::string& id) {
  make_directories(*files_, directory_);
  sweep(*files_, directory_);
  const double needed = kSpaceMargin * static_cast<double>(total_bytes);
  const auto available = static_cast<double>(files_->free_bytes(directory_));
  if (available < needed) {
    throw CheckpointError(fmt::format("not enough space in {}: it needs {}, {} are free; free some space, or lower checkpoint.keep",
                                      directory_.string(), human_bytes(needed), human_bytes(available)));
  }
  const std::string temporary = work_name(Work::tmp, step_name(step), id);
  files_->make_directory(directory_ / temporary);
  return temporary;
}

std::string Store::commit(int64_t step, const std::string& temporary, Manifest& manifest, const std::string& id) {
  const fs::path path = directory_ / temporary;
  for (const ManifestFile& file : manifest.files) {
    if (!fs::exists(path / file.name)) not_shared(path / file.name);
  }
  manifest.tensors = tensors_in(path, manifest.files);
  const std::string json = to_json(manifest);
  write_file(*files_, path / kManifestName, json);
  write_file(*files_, path / kCompleteName, complete_text(json));
  files_->sync_directory(path);
  publish(*files_, directory_, temporary, step, id);
  try {  // committed: from here on nothing may make it look as if it were not
    replace_file(*files_, directory_ / kLatestName, directory_ / work_name(Work::tmp, kLatestName, id), step_name(step) + "\n");
    retain(*files_, directory_, options_.keep, step, id);
  } catch (const std::exception& e) {
    log::warn("checkpoint {} is saved, but tidying up after it failed: {}", path_of(step).string(), e.what());
  }
  return "";
}

std::optional<int64_t> Store::next_candidate(std::optional<int64_t> below) {
  const auto results = together(driver_, "look for checkpoints", [&]() -> std::string {
    if (driver_.rank() != 0) return "";
    if (!below) recover_replaced(*files_, directory_);
    for (const int64_t step : steps_in(directory_)) {
      if (!below || step < *below) return std::to_string(step);
    }
    return "";
  });
  throw_if_any_failed(results, fmt::format("cannot look for checkpoints in {}", directory_.string()));
  if (results.front().text.empty()) return std::nullopt;
  return std::stoll(results.front().text);
}

std::string Store::agreed_defect(int64_t step) {
  const auto results = together(driver_, "verify", [&] { return defect_here(path_of(step), driver_); });
  throw_if_any_failed(results, fmt::format("cannot use checkpoint {}", path_of(step).string()));
  for (const RankResult& result : results) {
    if (!result.text.empty()) return result.text;
  }
  return "";
}

std::optional<int64_t> Store::newest_good() {
  std::vector<std::string> defects;
  std::optional<int64_t> step;
  while ((step = next_candidate(step))) {
    const std::string defect = agreed_defect(*step);
    if (defect.empty()) return step;
    if (driver_.rank() == 0) log::warn("skipping checkpoint {}: {}", step_name(*step), defect);
    defects.push_back("  " + defect);
  }
  if (defects.empty()) return std::nullopt;
  throw CheckpointError(fmt::format("no checkpoint in {} is whole; bring one back from a copy, or start a new run:\n{}",
                                    directory_.string(), join(defects, "\n")));
}

void Store::load(int64_t step, State& state) {
  std::optional<SavedShards> saved;
  const auto results = together(driver_, "load", [&] {
    saved.emplace(read_fitting(path_of(step), state, driver_));
    saved->read(state, static_cast<int>(options_.threads));
    return std::string();
  });
  throw_if_any_failed(results, fmt::format("cannot load checkpoint {}", path_of(step).string()));
  saved->restore(state);
}

RunFacts Store::facts(int64_t step) const { return read_manifest(path_of(step)).facts; }

}  // namespace thinwire::checkpoint
