#include "checkpoint/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr std::array<std::pair<Work, std::string_view>, 4> kWorkPrefixes = {
    {{Work::tmp, ".tmp-"}, {Work::old, ".old-"}, {Work::base, ".base-"}, {Work::trash, ".trash-"}}};

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) names.push_back(entries->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory) {
    throw CheckpointError(fmt::format("cannot list {}: {}", directory.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string rank_file_name(int rank) { return fmt::format("rank-{:05}.safetensors", rank); }
std::string step_name(int64_t step) { return fmt::format("{}{:08}", kStepPrefix, step); }

std::optional<int64_t> parse_step_name(std::string_view name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kStepPrefix.size());
  int64_t step = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || step < 0 || step_name(step) != name) return std::nullopt;
  return step;
}

std::string work_name(Work work, std::string_view what, std::string_view id) {
  return fmt::format("{}{}-{}", kWorkPrefixes[static_cast<size_t>(work)].second, what, id);
}

std::optional<WorkName> parse_work_name(std::string_view name) {
  for (const auto& [work, prefix] : kWorkPrefixes) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    const size_t dash = rest.rfind('-');
    if (dash == std::string_view::npos || dash + 1 == rest.size()) return std::nullopt;
    if (rest.find_first_not_of("0123456789abcdef", dash + 1) != std::string_view::npos) return std::nullopt;
    const std::string what(rest.substr(0, dash));
    const bool hint = work == Work::tmp && what == kLatestName;
    if (!hint && !parse_step_name(what)) return std::nullopt;
    return WorkName{work, what};
  }
  return std::nullopt;
}

fs::path with_name(const fs::path& given) {
  const fs::path path = given.has_filename() ? given : given.parent_path();
  if (path.filename() != "." && path.filename() != "..") return path;
  std::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  return error ? path : canonical;
}

std::vector<int64_t> steps_in(const fs::path& directory) {
  std::vector<int64_t> steps;
  for (const std::string& name : names_in(directory)) {
    const std::optional<int64_t> step = parse_step_name(name);
    if (step && fs::is_directory(directory / name)) steps.push_back(*step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

std::vector<std::string> work_in(const fs::path& directory) {
  std::vector<std::string> names = names_in(directory);
  std::erase_if(names, [](const std::string& name) { return !parse_work_name(name); });
  return names;
}

}  // namespace thinwire::checkpoint
