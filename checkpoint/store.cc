#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "checkpoint/agreement.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/footprint.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/retention.h"
#include "checkpoint/shards.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

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

// As this rank sees it.
std::optional<Chain> chain_of(const fs::path& directory, const std::optional<ManifestBase>& base) {
  if (!base) return std::nullopt;
  Chain chain = read_chain(directory / step_name(base->step));
  if (chain.front().manifest.hash != base->manifest_hash) not_shared(chain.front().directory);
  return chain;
}

}  // namespace

Store::Store(fs::path directory, comm::Driver& driver, CheckpointOptions options, std::shared_ptr<Files> files)
    : directory_(std::move(directory)), driver_(driver), options_(std::move(options)), files_(std::move(files)) {}

fs::path Store::path_of(int64_t step) const { return directory_ / step_name(step); }

void Store::save(int64_t step, const State& state, const RunFacts& facts) {
  check(step >= 0 && options_.keep >= 0, "steps and counts are not negative");
  const std::string failed = fmt::format("checkpoint {} was not saved", path_of(step).string());
  const auto agree = [&](const char* what, const std::function<std::string()>& work) {
    const trace::Span span(trace::Lane::checkpoint, what, step);
    std::vector<RankResult> results = together(driver_, disk_, what, work);
    throw_if_any_failed(results, failed);
    return results;
  };
  const bool first = driver_.rank() == 0;
  const std::string id = fresh_id();
  const uint64_t total_bytes = agreed_estimate(step, state);
  const std::string temporary = agree("prepare", [&] { return first ? prepare(step, total_bytes, id) : std::string(); }).front().text;
  try {
    const std::optional<ManifestBase> base = agreed_base(step);
    const auto written = agree("write", [&] {
      if (!fs::exists(directory_ / temporary)) not_shared(directory_ / temporary);
      return to_text(write_shards(*files_, directory_ / temporary, driver_.rank(), step, state, options_, chain_of(directory_, base)));
    });
    Manifest manifest;
    manifest.step = step;
    manifest.world = driver_.size();
    manifest.created = utc_now();
    manifest.facts = facts;
    manifest.numbers = state.numbers;
    manifest.base = base;
    manifest.files = to_files(written);
    agree("commit", [&] { return first ? commit(step, temporary, manifest, id) : std::string(); });
  } catch (const CheckpointError&) {
    if (first) abandon(*files_, directory_, temporary);
    throw;
  }
}

// Every byte of it is read first: what is coded against a damaged checkpoint is lost with it.
std::optional<ManifestBase> Store::agreed_base(int64_t step) {
  if (!uses_base(options_)) return std::nullopt;
  const RankResult found = together(driver_, disk_, "choose a base", [&]() -> std::string {
                             const auto base =
                                 driver_.rank() == 0 ? choose_base(directory_, step, driver_.size(), most_bases(options_)) : std::nullopt;
                             return base ? fmt::format("{} {}", base->step, base->manifest_hash) : "";
                           }).front();
  if (found.ok && found.text.empty()) return std::nullopt;
  ManifestBase base;
  if (found.ok) std::istringstream(found.text) >> base.step >> base.manifest_hash;
  const std::string defect = found.ok ? agreed_defect(base.step) : found.text;
  if (defect.empty()) return base;
  if (driver_.rank() == 0)
    log::warn("checkpoint {} stands alone, because the one before it cannot be used: {}", path_of(step).string(), defect);
  return std::nullopt;
}

uint64_t Store::agreed_estimate(int64_t step, const State& state) {
  const auto results = together(driver_, disk_, "compare",
                                [&] { return fmt::format("{} {}", fingerprint(step, state), estimated_bytes(driver_.rank(), state)); });
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
    throw CheckpointError(fmt::format("not enough space in {}: it needs {}, {} are free; free some space{}", directory_.string(),
                                      human_bytes(needed), human_bytes(available), options_.keep == 1 ? "" : ", or lower checkpoint.keep"));
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
  seal(*files_, path, manifest);
  publish(*files_, directory_, temporary, step, id);
  try {  // committed: from here on nothing may make it look as if it were not
    replace_file(*files_, directory_ / kLatestName, directory_ / work_name(Work::tmp, kLatestName, id), step_name(step) + "\n");
    damaged_.erase(step);
    retain(*files_, directory_, options_, step, damaged_, id);
  } catch (const std::exception& e) {
    log::warn("checkpoint {} is saved, but tidying up after it failed: {}", path_of(step).string(), e.what());
  }
  return "";
}

RunFacts Store::facts(int64_t step) const { return read_manifest(path_of(step)).facts; }

std::vector<LossyRestore> Store::lossy_restores_of_load(int64_t step) const {
  const Manifest manifest = read_manifest(path_of(step));
  std::vector<LossyRestore> restores = manifest.facts.lossy_restores;
  if (manifest.is_lossy()) restores.push_back({step, manifest.hash, manifest.lossy_how()});
  return restores;
}

}  // namespace thinwire::checkpoint
