#include "checkpoint/retention.h"

#include <algorithm>

#include "base/log.h"
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
  std::reverse(names.begin(), names.end());  // .trash-* before .old-*, which become .trash-* themselves
  for (const std::string& name : names) {
    const WorkName parsed = *parse_work_name(name);
    if (parsed.work == Work::old) {
      discard(files, directory, name, parsed.what, name.substr(name.rfind('-') + 1));
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

void retain(Files& files, const fs::path& directory, int64_t keep, int64_t just_saved, const std::string& id) {
  for (const std::string& name : work_in(directory)) {
    const WorkName parsed = *parse_work_name(name);
    if (parsed.work == Work::old && parsed.what == step_name(just_saved)) discard(files, directory, name, parsed.what, id);
  }
  if (keep == 0) return;
  int64_t seen = 0;
  for (const int64_t step : steps_in(directory)) {  // newest first
    const std::string name = step_name(step);
    if (!fs::exists(directory / name / kCompleteName)) continue;  // not a checkpoint: somebody else's business
    if (++seen > keep && step != just_saved) discard(files, directory, name, name, id);
  }
}

}  // namespace thinwire::checkpoint
