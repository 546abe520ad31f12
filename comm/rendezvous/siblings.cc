#include "comm/rendezvous/siblings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace thinwire::comm {

namespace fs = std::filesystem;

namespace {
std::optional<int> number_of(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// "NAME=value", each ended by a 0.
std::optional<std::string> variable_in(const std::string& environment, const std::string& name) {
  const std::string all = '\0' + environment, start = '\0' + name + '=';
  const size_t at = all.find(start);
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = at + start.size();
  return all.substr(begin, all.find('\0', begin) - begin);
}

// "12 (a name) S 3 ...": the name may hold anything.
std::optional<Sibling> child_of(int parent, const fs::path& process) {
  const std::string stat = content_of(process / "stat");
  const size_t begin = stat.find('('), end = stat.rfind(')');
  if (begin == std::string::npos || end == std::string::npos) return std::nullopt;
  Sibling one;
  int its_parent = 0;
  std::istringstream(stat.substr(end + 1)) >> one.state >> its_parent;
  if (its_parent != parent) return std::nullopt;
  one.process = number_of(process.filename().string()).value_or(0);
  one.program = stat.substr(begin + 1, end - begin - 1);
  return one;
}
}  // namespace

std::vector<Sibling> siblings(const char* rank_variable) {
  std::vector<Sibling> all;
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator("/proc", unreadable)) {
    if (!number_of(entry.path().filename().string())) continue;
    auto one = child_of(getppid(), entry.path());
    if (!one) continue;
    const auto rank = variable_in(content_of(entry.path() / "environ"), rank_variable);
    const auto number = rank ? number_of(*rank) : std::nullopt;
    if (!number) continue;
    one->rank = *number;
    all.push_back(std::move(*one));
  }
  std::sort(all.begin(), all.end(), [](const Sibling& a, const Sibling& b) { return a.rank < b.rank; });
  return all;
}

std::string describe_absent(const std::vector<Sibling>& siblings, int own_process, int world) {
  const auto own = std::find_if(siblings.begin(), siblings.end(), [&](const Sibling& one) { return one.process == own_process; });
  std::vector<std::string> absent;
  for (const Sibling& one : siblings) {
    const std::string who = fmt::format("rank {} (process {}, {})", one.rank, one.process, one.program);
    if (one.state == 'T') {
      absent.push_back(who + " is stopped");
    } else if (one.state == 'Z') {
      absent.push_back(who + " is dead");
    } else if (own != siblings.end() && one.program != own->program) {
      absent.push_back(who + " runs another program");
    }
  }
  const int elsewhere = world - static_cast<int>(siblings.size());
  if (absent.empty() && elsewhere > 0)
    absent.push_back(fmt::format("{} of {} ranks are on other hosts, which cannot be seen from here", elsewhere, world));
  return fmt::format("{}", fmt::join(absent, "; "));
}

}  // namespace thinwire::comm
