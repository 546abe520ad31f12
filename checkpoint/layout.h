// Names in a checkpoints directory: which are ours, and what they are.
//
//   step-00000100                   committed: whole, always
//   .tmp-step-00000100-<id>         being written, or left by a save that died
//   .old-step-00000100-<id>         a whole one that the same step, saved again, is about to replace
//   .base-step-00000100-<id>        a whole one that was replaced, and that another is coded against
//   .trash-step-00000100-<id>       being deleted
//   latest, .tmp-latest-<id>        a hint for people: the name of the newest
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::checkpoint {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kCompleteName = "COMPLETE";
inline constexpr const char* kLatestName = "latest";
inline constexpr const char* kModelFileName = "model.safetensors";
std::string rank_file_name(int rank);  // rank-00003.safetensors

std::string step_name(int64_t step);
std::optional<int64_t> parse_step_name(std::string_view name);  // nullopt unless step_name() gives the very same text

enum class Work : uint8_t { tmp, old, base, trash };
std::string work_name(Work work, std::string_view what, std::string_view id);  // what: a step name, or "latest"
struct WorkName {
  Work work;
  std::string what;
};
std::optional<WorkName> parse_work_name(std::string_view name);

// The same directory by a path that ends in its name, which `.`, `..` and a slash behind do not.
std::filesystem::path with_name(const std::filesystem::path& given);

// What the directory holds that is ours, sorted; a directory that does not exist holds nothing.
std::vector<int64_t> steps_in(const std::filesystem::path& directory);  // newest first
std::vector<std::string> work_in(const std::filesystem::path& directory);

}  // namespace thinwire::checkpoint
