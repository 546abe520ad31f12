#include "data/paths.h"

#include <fmt/format.h>
#include <glob.h>

#include <cerrno>
#include <new>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/listing.h"

namespace thinwire::data {
namespace fs = std::filesystem;
namespace {

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
