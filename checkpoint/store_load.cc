// How a Store finds and loads what was saved.
#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "checkpoint/agreement.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/regroup.h"
#include "checkpoint/retention.h"
#include "checkpoint/saved_shards.h"
#include "checkpoint/strict_json.h"

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

template <class Shards>
void require_fit(Shards& saved, const State& state) {
  const std::vector<std::string> mismatches = saved.mismatches(state);
  if (!mismatches.empty()) throw CheckpointError(listed(mismatches));
}

// Of a RegroupedShards: '1' for each name that has no place on this rank.
std::string unclaimed_text(const RegroupedShards& saved, const State& state) {
  std::string text;
  for (const bool unclaimed : saved.unclaimed(state)) text += unclaimed ? '1' : '0';
  return text;
}

// What one rank has no use for, another may: leaders of nodes and owners of slices keep what others do not.
void require_all_claimed(const RegroupedShards& saved, const std::vector<RankResult>& texts) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < saved.own_names().size(); ++i) {
    const bool nobody =
        std::ranges::all_of(texts, [i](const RankResult& result) { return i < result.text.size() && result.text[i] == '1'; });
    if (nobody) lines.push_back(fmt::format("{}: unexpected, no rank of this run has such state", in_quotes(saved.own_names()[i])));
  }
  if (!lines.empty()) throw CheckpointError(listed(lines));
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
    files.open([&](const std::string& name, const Manifest& manifest) { return is_mine(name, manifest, driver); });
  } catch (const NewerVersion&) {
    throw;
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

std::optional<int64_t> Store::next_candidate(std::optional<int64_t> below) {
  const auto results = together(driver_, disk_, "look for checkpoints", [&]() -> std::string {
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
  const auto results = together(driver_, disk_, "verify", [&] { return defect_here(path_of(step), driver_); });
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
    damaged_.insert(*step);
  }
  if (defects.empty()) return std::nullopt;
  throw CheckpointError(fmt::format("no checkpoint in {} is whole; bring one back from a copy, or start a new run:\n{}",
                                    directory_.string(), join(defects, "\n")));
}

int Store::world(int64_t step) const { return read_manifest(path_of(step)).world; }

std::vector<std::string> Store::load(int64_t step, State& state) {
  const fs::path path = path_of(step);
  const auto agree = [&](const char* what, const std::function<std::string()>& work) {
    std::vector<RankResult> results = together(driver_, disk_, what, work);
    throw_if_any_failed(results, fmt::format("cannot load checkpoint {}", path.string()));
    return results;
  };
  std::optional<Chain> chain;
  const auto worlds = agree("look at", [&] {
    if (!fs::exists(path)) throw CheckpointError("it does not exist; `thinwire ckpt ls` shows those that do");
    chain = read_chain(path);
    return std::to_string(chain->front().manifest.world);
  });
  if (std::stoi(worlds.front().text) != driver_.size()) {
    // Every rank reads of many files: so that each is hashed once, and not by all.
    if (const std::string defect = agreed_defect(step); !defect.empty())
      throw CheckpointError(fmt::format("cannot load checkpoint {}: {}", path.string(), defect));
    return load_regrouped(*std::move(chain), state, agree);
  }
  std::optional<SavedShards> saved;
  agree("load", [&] {
    saved.emplace(*std::move(chain), driver_.rank());
    require_fit(*saved, state);
    saved->read(state, static_cast<int>(options_.threads));
    return std::string();
  });
  saved->restore(state);
  return {};
}

std::vector<std::string> Store::load_regrouped(Chain chain, State& state, const Agree& agree) {
  std::optional<RegroupedShards> saved;
  const auto unclaimed = agree("compare", [&] {
    saved.emplace(std::move(chain), driver_.rank(), driver_.size());
    require_fit(*saved, state);
    return unclaimed_text(*saved, state);
  });
  agree("load", [&] {
    require_all_claimed(*saved, unclaimed);
    saved->read(state);
    return std::string();
  });
  saved->restore(state);
  return saved->report();
}

}  // namespace thinwire::checkpoint
