// Small text helpers that several rooms need: suggestions for a mistyped name, shell-style patterns, sizes for people.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire {

// The candidate within a third of its length in edits (a swap of neighbours counts one), or empty when none is near.
std::string nearest(std::string_view name, std::span<const std::string> candidates);

// " (did you mean 'topk'?)", or empty: ready to be put behind a message.
std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);

// Shell-style match of the whole text: `*` any run of characters, `?` one character.
bool glob_match(std::string_view pattern, std::string_view text);

std::string join(std::span<const std::string> parts, std::string_view separator);
std::string with_thousands(int64_t value);  // 41220 -> "41,220"
std::string human_bytes(double num_bytes);  // 310000 -> "0.31MB" (powers of ten, as on the wire)

}  // namespace thinwire
