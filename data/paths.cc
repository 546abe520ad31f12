#include "data/paths.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <set>
#include <span>
#include <system_error>

#include "base/error.h"
#include "base/text.h"

namespace thinwire::data {
namespace fs = std::filesystem;
namespace {

constexpr size_t kNamesShown = 5;

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Follows the pattern as far as there are directories, then tells what the last of them holds.
std::string what_is_there(const fs::path& pattern) {
  fs::path directory = pattern.is_absolute() ? pattern.root_path() : fs::path(".");
  std::string missing;
  for (const fs::path& part : pattern.relative_path()) {
    std::error_code error;
    missing = part.string();
    if (!fs::is_directory(directory / part, error)) break;
    directory /= part;
  }
  std::error_code error;
  const std::string where = fs::weakly_canonical(fs::absolute(directory), error).string();
  const std::vector<std::string> names = names_in(directory);
  if (names.empty()) return fmt::format("'{}' is empty or cannot be listed", where);
  const size_t shown = std::min(names.size(), kNamesShown);
  return fmt::format("'{}' holds {}{}{}", where, join(std::span(names).first(shown), ", "),
                     shown < names.size() ? fmt::format(" and {} more", names.size() - shown) : "", did_you_mean(missing, names));
}

[[noreturn]] void no_match(const std::string& pattern) {
  const char* fix = pattern.starts_with('~') ? "write the home directory out, '~' is not expanded" : "correct the path or pattern";
  throw DataError(fmt::format("data.files: nothing matches '{}'; {}: {}", pattern, what_is_there(pattern), fix));
}

// A directory that may not be listed would silently drop files, on one machine and not on another.
int stop_unless_absent(const char*, int error) { return error == ENOENT || error == ENOTDIR ? 0 : 1; }

std::vector<std::string> matches(const std::string& pattern) {
  std::error_code error;
  if (fs::exists(pattern, error)) return {pattern};
  glob_t found{};
  const int result = glob(pattern.c_str(), GLOB_NOSORT, stop_unless_absent, &found);  // its own order depends on the locale
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  if (result == GLOB_NOSPACE) throw std::bad_alloc();
  if (result == GLOB_ABORTED) {
    throw DataError(
        fmt::format("data.files: '{}' leads through a directory that cannot be listed: change its permissions or the pattern", pattern));
  }
  if (paths.empty()) no_match(pattern);
  return paths;
}

}  // namespace

std::vector<fs::path> find_files(const std::vector<std::string>& patterns) {
  std::set<std::string> names;
  for (const std::string& pattern : patterns) {
    for (const std::string& path : matches(pattern)) names.insert(fs::path(path).lexically_normal().string());
  }
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const std::string& name : names) {
    std::error_code error;
    const fs::path target = fs::weakly_canonical(name, error);
    if (seen.insert(error ? fs::path(name) : target).second) files.emplace_back(name);
  }
  return files;
}

}  // namespace thinwire::data
