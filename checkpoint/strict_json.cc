#include "checkpoint/strict_json.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"

namespace thinwire::checkpoint {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 8;  // our deepest: manifest > tensors > entry > shape
constexpr size_t kMaxQuotedBytes = 200;

// Follows the parser and refuses what nlohmann::json would accept.
class Watcher {
 public:
  explicit Watcher(const std::string& source) : source_(source) {}

  bool operator()(int, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (keys_.size() == kMaxDepth) throw CheckpointError(fmt::format("{}: JSON nested deeper than {} levels", source_, kMaxDepth));
      keys_.emplace_back();
    } else if (event == Event::object_end || event == Event::array_end) {
      keys_.pop_back();
    } else if (event == Event::key && !keys_.back().insert(parsed.get<std::string>()).second) {
      throw CheckpointError(fmt::format("{}: duplicate key {}", source_, in_quotes(parsed.get<std::string>())));
    }
    return true;
  }

 private:
  const std::string& source_;
  std::vector<std::set<std::string>> keys_;  // per open object or array
};

}  // namespace

json parse_strict_json(std::string_view text, const std::string& source) {
  const size_t nul = text.find('\0');  // which nlohmann::json takes for the end, hiding what follows
  if (nul != std::string_view::npos) throw CheckpointError(fmt::format("{}: not valid JSON at byte {}", source, nul + 1));
  try {
    return json::parse(text, Watcher(source));
  } catch (const json::parse_error& e) {
    throw CheckpointError(fmt::format("{}: not valid JSON at byte {}", source, e.byte));
  } catch (const json::exception&) {
    throw CheckpointError(fmt::format("{}: not valid JSON: a number is out of range", source));
  }
}

const json& member(const json& object, const std::string& key, json::value_t type, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end()) throw CheckpointError(fmt::format("{}: '{}' is missing", source, key));
  if (found->type() != type) {
    throw CheckpointError(fmt::format("{}: '{}' should be {}, but is {}", source, key, json(type).type_name(), found->type_name()));
  }
  return *found;
}

std::string text_member(const json& object, const std::string& key, const std::string& source) {
  return member(object, key, json::value_t::string, source).get<std::string>();
}

std::vector<int64_t> shape_member(const json& object, const std::string& source) {
  std::vector<int64_t> shape;
  for (const json& dimension : member(object, "shape", json::value_t::array, source)) {
    if (!dimension.is_number_unsigned() || dimension.get<uint64_t>() > uint64_t{INT64_MAX}) {
      throw CheckpointError(source + ": a dimension is not a size");
    }
    shape.push_back(dimension.get<int64_t>());
  }
  return shape;
}

int64_t integer_member(const json& object, const std::string& key, int64_t low, int64_t high, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end()) throw CheckpointError(fmt::format("{}: '{}' is missing", source, key));
  const bool fits = found->is_number_unsigned() ? found->get<uint64_t>() <= uint64_t{INT64_MAX} : found->is_number_integer();
  if (!fits || found->get<int64_t>() < low || found->get<int64_t>() > high) {
    throw CheckpointError(fmt::format("{}: '{}' should be an integer from {} to {}", source, key, low, high));
  }
  return found->get<int64_t>();
}

std::string in_quotes(std::string_view name) {
  const bool long_name = name.size() > kMaxQuotedBytes;
  const std::string text = json(name.substr(0, kMaxQuotedBytes)).dump(-1, ' ', true, json::error_handler_t::replace);
  return fmt::format("'{}{}'", text.substr(1, text.size() - 2), long_name ? "..." : "");
}

}  // namespace thinwire::checkpoint
