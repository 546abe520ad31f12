// Who says what where: rank 0 to stdout, warnings and errors of any rank to stderr as "[rank N host] ...", and all of it to the
// rank's own file, which holds what was said before it was opened too.
//
// The rank is a property of the thread, since ranks may be threads of one process. A thread that works for a rank
// adopts its log with `log::adopt(log::current())` taken on the rank's thread. All functions are thread-safe.
#pragma once
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string_view>

namespace thinwire::log {

enum class Level { info, warning, error };
struct RankLog;

void set_rank(int rank);  // a fresh log for this thread; rank 0 until called
int rank();
std::shared_ptr<RankLog> current();
void adopt(std::shared_ptr<RankLog> log);
// What was said so far goes there with the times at which it was said: the first thousand lines. Error(other) when it cannot be opened.
void open_file(const std::filesystem::path& path);
void write(Level level, std::string_view message);
std::string host_name();

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace thinwire::log
