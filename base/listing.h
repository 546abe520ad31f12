// What is there instead of something that is not: for messages about paths.
#pragma once
#include <filesystem>
#include <string>

namespace thinwire {

// Of a directory: "'/data/runs' holds a, b, c, d, e and 4 more", or that it is empty or cannot be listed.
std::string contents_of(const std::filesystem::path& directory);

// Of a path that leads nowhere: follows it as far as there are directories, then tells what the last of them holds, and the name that is
// near.
std::string what_is_there(const std::filesystem::path& path);

}  // namespace thinwire
