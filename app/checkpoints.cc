#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "app/verbs.h"
#include "base/error.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"

namespace thinwire::app {

namespace fs = std::filesystem;

namespace {

// A run directory, its checkpoints folder, or one checkpoint.
struct Place {
  fs::path checkpoints;
  std::optional<fs::path> step;
};

Place find(const std::string& given) {
  const fs::path path = fs::path(given).has_filename() ? fs::path(given) : fs::path(given).parent_path();
  if (!fs::is_directory(path)) throw CheckpointError(fmt::format("{}: there is no such directory", given));
  if (path.filename().string().starts_with("step-")) return {path.parent_path(), path};
  if (fs::is_directory(path / "checkpoints")) return {path / "checkpoints", std::nullopt};
  return {path, std::nullopt};
}

// Damaged and incomplete ones too: whatever claims to be a checkpoint by its name, oldest first.
std::vector<fs::path> chosen(const std::string& given) {
  const Place place = find(given);
  if (place.step) return {*place.step};
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(place.checkpoints)) {
    if (entry.is_directory() && entry.path().filename().string().starts_with("step-")) paths.push_back(entry.path());
  }
  if (paths.empty()) throw CheckpointError(fmt::format("{}: there is no checkpoint in it (one is a folder named step-N)", given));
  std::sort(paths.begin(), paths.end());
  return paths;
}

int list(const std::string& given) {
  const auto entries = checkpoint::list(find(given).checkpoints);
  if (entries.empty()) throw CheckpointError(fmt::format("{}: there is no complete checkpoint in it", given));
  for (const auto& entry : entries) {
    fmt::print("step {:>10}  {:>10}  {} rank{}  {}  {}{}\n", entry.step, human_bytes(static_cast<double>(entry.bytes)), entry.world,
               entry.world == 1 ? "" : "s", entry.created, entry.path.string(),
               entry.base ? fmt::format(", needs step {}", *entry.base) : "");
  }
  return 0;
}

int inspect(const std::string& given) {
  std::fputs(checkpoint::inspect(chosen(given).back()).c_str(), stdout);
  return 0;
}

int verify(const std::string& given) {
  bool good = true;
  for (const auto& path : chosen(given)) {
    const auto defects = checkpoint::verify(path);
    fmt::print("{}: {}\n", path.string(), defects.empty() ? "good" : "DAMAGED");
    for (const auto& defect : defects) fmt::print("  {}\n", defect);
    good = good && defects.empty();
  }
  return good ? 0 : static_cast<int>(ExitCode::checkpoint);
}

int diff(const std::string& a, const std::string& b) {
  const auto difference = checkpoint::diff(chosen(a).back(), chosen(b).back());
  std::fputs(difference.text.c_str(), stdout);
  return difference.are_equal ? 0 : static_cast<int>(ExitCode::other);
}

}  // namespace

void add_checkpoints(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("ckpt", "Looks at checkpoints: a run directory, or one of its checkpoints/step-N");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int (*run)(const std::string&)) {
    auto path = std::make_shared<std::string>();
    auto* sub = verb->add_subcommand(name, help);
    sub->add_option("path", *path, "run directory or checkpoint")->required();
    sub->callback([path, run, &action] { action = [path, run] { return run(*path); }; });
  };
  add("ls", "complete checkpoints, oldest first", list);
  add("inspect", "what the (newest) checkpoint holds", inspect);
  add("verify", "re-reads and decodes every byte; exit 4 when one is damaged", verify);
  auto paths = std::make_shared<std::pair<std::string, std::string>>();
  auto* sub = verb->add_subcommand("diff", "compares the states in two (newest) checkpoints; exit 1 when they differ");
  sub->add_option("first", paths->first, "run directory or checkpoint")->required();
  sub->add_option("second", paths->second, "run directory or checkpoint")->required();
  sub->callback([paths, &action] { action = [paths] { return diff(paths->first, paths->second); }; });
}

}  // namespace thinwire::app
