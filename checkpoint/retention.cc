#include "checkpoint/retention.h"

#include <algorithm>

#include "base/log.h"
#include "checkpoint/chain.h"
#include "checkpoint/layout.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

// Out of sight first, durably: a deletion that is cut short must not leave a step-N with files missing.
void discard(Files& files, const fs::path& directory, const std::string& name, const std::string& step, const std::string& id) {
  const fs::path trash = directory / work_name(Work::trash, step, id);
  files.rename(directory / name, trash);
  files.sync_directory(directory);
  remove_tree(files, trash);
}

// What is replaced, or was one's base once, stays while a checkpoint that stays needs it: under a name of its own.
void discard_unless_needed(Files& files, const fs::path& directory, const std::string& name, const std::set<std::string>& needed) {
  const WorkName parsed = *parse_work_name(name);
  const std::string id = name.substr(name.rfind('-') + 1);
  if (!needed.contains(name)) return discard(files, directory, name, parsed.what, id);
  if (parsed.work == Work::base) return;
  files.rename(directory / name, directory / work_name(Work::base, parsed.what, id));
  files.sync_directory(directory);
}

std::vector<std::string> names_of(const std::vector<int64_t>& steps) {
  std::vector<std::string> names;
  for (const int64_t step : steps) names.push_back(step_name(step));
  return names;
}

void rename_back(Files& files, const fs::path& from, const fs::path& to) {
  try {
    files.rename(from, to);
  } catch (const CheckpointError& e) {
    log::warn("after a failed commit: {}", e.what());
  }
}

}  // namespace

void recover_replaced(Files& files, const fs::path& directory) {
  for (const std::string& name : work_in(directory)) {
    const WorkName parsed = *parse_work_name(name);
    if (parsed.work != Work::old || fs::exists(directory / parsed.what)) continue;
    files.rename(directory / name, directory / parsed.what);
    files.sync_directory(directory);
  }
}

void sweep(Files& files, const fs::path& directory) {
  recover_replaced(files, directory);
  std::vector<std::string> names = work_in(directory);
  if (names.empty()) return;
  files.sync_directory(directory);           // what these names once were must not come back without its files
  std::reverse(names.begin(), names.end());  // .trash-* before .old-* and .base-*, which become .trash-* themselves
  const std::set<std::string> needed = bases_of(directory, names_of(steps_in(directory)));
  for (const std::string& name : names) {
    const WorkName parsed = *parse_work_name(name);
    if (parsed.work == Work::old || parsed.work == Work::base) {
      discard_unless_needed(files, directory, name, needed);
    } else {
      remove_tree(files, directory / name);
    }
  }
}

void publish(Files& files, const fs::path& directory, const std::string& temporary, int64_t step, const std::string& id) {
  const fs::path from = directory / temporary, to = directory / step_name(step);
  const fs::path aside = directory / work_name(Work::old, step_name(step), id);
  bool moved_aside = false, moved_in = false;
  try {
    if (fs::exists(fs::symlink_status(to))) {
      files.rename(to, aside);
      moved_aside = true;
    }
    files.rename(from, to);
    moved_in = true;
    files.sync_directory(directory);
  } catch (const CheckpointError&) {
    if (moved_in) rename_back(files, to, from);
    if (moved_aside) rename_back(files, aside, to);
    throw;
  }
}

void abandon(Files& files, const fs::path& directory, const std::string& temporary) noexcept {
  try {
    files.sync_directory(directory);
    remove_tree(files, directory / temporary);
  } catch (const std::exception& e) {
    log::warn("a failed save left {} behind; the next save removes it ({})", (directory / temporary).string(), e.what());
  }
}

void retain(Files& files, const fs::path& directory, const CheckpointOptions& options, int64_t just_saved, const std::set<int64_t>& damaged,
            const std::string& id) {
  int64_t num_seen = 0;
  std::vector<int64_t> kept, beyond;  // newest first, so that none loses its base before it goes itself
  for (const int64_t step : steps_in(directory)) {
    if (!fs::exists(directory / step_name(step) / kCompleteName)) continue;  // not a checkpoint: somebody else's business
    const bool is_new = options.keep == 0 || step > just_saved || (!damaged.contains(step) && num_seen++ < options.keep);
    const bool is_major = options.keep_every > 0 && step % options.keep_every == 0;
    (is_new || is_major ? kept : beyond).push_back(step);
  }
  const std::set<std::string> needed = bases_of(directory, names_of(kept));
  for (const std::string& name : names_of(beyond)) {
    if (!needed.contains(name)) discard(files, directory, name, name, id);
  }
  for (const std::string& name : work_in(directory)) {
    const WorkName parsed = *parse_work_name(name);
    const bool replaced = parsed.work == Work::old && parsed.what == step_name(just_saved);
    if (replaced || parsed.work == Work::base) discard_unless_needed(files, directory, name, needed);
  }
}

}  // namespace thinwire::checkpoint
