// What one rank says: its lines go to the console as far as they belong there, all of them to its file, and the last ones are remembered.
//
// Rank 0's go to the console as they are. Of other ranks only warnings do: an error of one rank is an error of all a moment later, and the
// launcher shows the first.
#pragma once
#include <cstdio>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace thinwire::launch {

enum class Stream { out, err };

class Output {
 public:
  explicit Output(bool is_live) : is_live_(is_live) {}
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void read(Stream stream, std::string_view bytes);
  void end();                                         // what has no end of line yet is a line too
  void open_file(const std::filesystem::path& path);  // what was said before goes there as well
  const std::deque<std::string>& last_lines() const { return last_; }

 private:
  void line(Stream stream, const std::string& text);

  static constexpr size_t kRemembered = 30, kMostLineBytes = 4096, kMostEarlyBytes = size_t{1} << 20;
  const bool is_live_;
  std::string pending_[2];
  std::deque<std::string> last_;
  std::string early_;  // before there is a file
  std::FILE* file_ = nullptr;
};

}  // namespace thinwire::launch
