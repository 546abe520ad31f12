#include "base/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <system_error>

#include "base/text.h"

namespace thinwire {

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

std::string described(const fs::path& directory, const std::vector<std::string>& names) {
  std::error_code error;
  const std::string where = fs::weakly_canonical(fs::absolute(directory), error).string();
  if (names.empty()) return fmt::format("'{}' is empty or cannot be listed", where);
  const size_t shown = std::min(names.size(), kNamesShown);
  return fmt::format("'{}' holds {}{}", where, join(std::span(names).first(shown), ", "),
                     shown < names.size() ? fmt::format(" and {} more", names.size() - shown) : "");
}
}  // namespace

std::string contents_of(const fs::path& directory) { return described(directory, names_in(directory)); }

std::string what_is_there(const fs::path& path) {
  fs::path directory = path.is_absolute() ? path.root_path() : fs::path(".");
  std::string missing;
  for (const fs::path& part : path.relative_path()) {
    std::error_code error;
    missing = part.string();
    if (!fs::is_directory(directory / part, error)) break;
    directory /= part;
  }
  const std::vector<std::string> names = names_in(directory);
  return described(directory, names) + did_you_mean(missing, names);
}

}  // namespace thinwire
