// Paths and globs to files, in an order that depends on neither locale nor file system.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace thinwire::data {

// Everything that the patterns match, in byte order of the paths, each file once however many names lead to it. A pattern that is the name
// of something is taken literally. DataError when one matches nothing: it says what is there instead.
std::vector<std::filesystem::path> find_files(const std::vector<std::string>& patterns);

}  // namespace thinwire::data
