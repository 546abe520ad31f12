#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "base/listing.h"
#include "base/text.h"
#include "config/load.h"

namespace thinwire::config {

namespace {
constexpr size_t kMaxConfigBytes = 4'000'000;  // whatever is larger was not meant as a config

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw ConfigError(fmt::format("cannot read the config '{}': {}", path.string(), why));
}
}  // namespace

Source read_file(const std::filesystem::path& path) {
  const bool standard_input = path == "-";
  std::error_code ignored;
  if (!standard_input && std::filesystem::is_directory(path, ignored)) fail(path, "it is a directory");
  std::ifstream file;
  if (!standard_input) {
    errno = 0;
    file.open(path, std::ios::binary);
    if (!file && errno == ENOENT) fail(path, fmt::format("{}; {}", std::strerror(ENOENT), what_is_there(path)));
    if (!file) fail(path, errno != 0 ? std::strerror(errno) : "it does not open");
  }
  std::istream& in = standard_input ? std::cin : file;
  std::string text(kMaxConfigBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) fail(path, "reading failed");
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kMaxConfigBytes) fail(path, fmt::format("it is larger than {}; is it a config?", human_bytes(kMaxConfigBytes)));
  return {standard_input ? "<stdin>" : path.string(), std::move(text)};
}

}  // namespace thinwire::config
