// How a Store finds and loads what was saved.
#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "checkpoint/agreement.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/retention.h"
#include "checkpoint/saved_shards.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxListedMismatches = 10;

std::string listed(const std::vector<std::string>& mismatches) {
  std::string text = fmt::format("it does not fit this run, {} difference{}:", mismatches.size(), mismatches.size() == 1 ? "" : "s");
  for (size_t i = 0; i < mismatches.size() && i < kMaxListedMismatches; ++i) text += "\n  " + mismatches[i];
  if (mismatches.size() > kMaxListedMismatches) text += fmt::format("\n  and {} more", mismatches.size() - kMaxListedMismatches);
  return text;
}

SavedShards read_fitting(const fs::path& path, const State& state, const comm::Driver& driver) {
  if (!fs::exists(path)) throw CheckpointError("it does not exist; `thinwire ckpt ls` shows those that do");
  Chain chain = read_chain(path);
  const Manifest& manifest = chain.front().manifest;
  if (manifest.world != driver.size()) {
    throw CheckpointError(fmt::format("it was saved by {} rank{}, this run has {}; start it with {} (parallel.dp)", manifest.world,
                                      manifest.world == 1 ? "" : "s", driver.size(), manifest.world));
  }
  SavedShards saved(std::move(chain), driver.rank());
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
    ChainFiles files(read_chain(path), ChainFiles::Check::every_byte);
    for (size_t link = 0; link < files.chain().size(); ++link) {
      const Manifest& manifest = files.chain()[link].manifest;
      for (const ManifestFile& file : manifest.files) {
        if (is_mine(file.name, manifest, driver)) files.shard(file.name, link);
      }
    }
  } catch (const NewerVersion&) {
    throw;
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

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

}  // namespace thinwire::checkpoint
