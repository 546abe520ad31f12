// The errors of one load, gathered so that all of them are told at once.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace thinwire::config {

// Where a value came from. Sources are counted in the order of their precedence.
struct Place {
  size_t source = SIZE_MAX;  // SIZE_MAX: nobody set it
  int line = 0, column = 0;  // from 1; 0 when the source has no lines, as `--set`
};

class Report {
 public:
  explicit Report(std::vector<std::string> source_names) : source_names_(std::move(source_names)) {}

  // `path` is the key or section whose value cannot be trusted now.
  void add(const Place& place, const std::string& path, std::string text);
  bool is_full() const { return errors_.size() >= kMostErrors; }  // more would not be shown
  // No error in this section or below it.
  bool spared(const std::string& section_path) const { return !hit_paths_.contains(section_path); }
  void throw_if_any();  // one ConfigError, one line for each error, in the order of places
  // The same lines, where there are no errors but only things to tell.
  std::vector<std::string> lines();

 private:
  static constexpr size_t kMostErrors = 200;
  struct Entry {
    Place place;
    std::string text;
  };
  std::string line_of(const Entry& entry) const;

  std::vector<std::string> source_names_;
  std::vector<Entry> errors_;
  std::set<std::string> hit_paths_;  // with all sections above them
  size_t num_unshown_ = 0;
};

}  // namespace thinwire::config
