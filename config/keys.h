// Key paths, and what to say about a key that its section does not have: the nearest that there is, whole, so that it can be pasted.
#pragma once
#include <string>
#include <string_view>

#include "config/section.h"

namespace thinwire::config {

std::string join_path(std::string_view section_path, std::string_view key);  // "" + "run", "optim" + "lr"
std::string without_indices(std::string_view path);                          // "compress.rules[1].match" -> "compress.rules.match"
const Field* find_field(const Section& section, std::string_view name);

// The whole message. `key` may be dotted, as in `--set optim.lrr=1`; `path` is where `section` stands below `root`.
std::string unknown_key(const Section& root, const Section& section, const std::string& path, const std::string& key);

}  // namespace thinwire::config
