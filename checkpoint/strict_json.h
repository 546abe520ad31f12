// JSON from a file that nobody vouches for: no duplicate keys, no deep nesting, nothing after the value.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::checkpoint {

// CheckpointError "<source>: <defect>" with the byte where it is.
nlohmann::json parse_strict_json(std::string_view text, const std::string& source);

// A member of an object, of the type asked for; otherwise CheckpointError "<source>: '<key>' ...".
const nlohmann::json& member(const nlohmann::json& object, const std::string& key, nlohmann::json::value_t type, const std::string& source);
std::string text_member(const nlohmann::json& object, const std::string& key, const std::string& source);
// "shape": sizes, each of which fits int64_t.
std::vector<int64_t> shape_member(const nlohmann::json& object, const std::string& source);
int64_t integer_member(const nlohmann::json& object, const std::string& key, int64_t low, int64_t high, const std::string& source);

// A name from a foreign file, fit for a message: in quotes, control characters escaped, shortened.
std::string in_quotes(std::string_view name);

}  // namespace thinwire::checkpoint
