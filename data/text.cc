#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "base/error.h"
#include "data/file.h"
#include "data/paths.h"
#include "data/sources.h"

namespace thinwire::data {
namespace {

constexpr std::array<uint8_t, 1> kNewline = {'\n'};

// Room for plain files at once; packed ones grow beyond it as they unpack.
void reserve_for(const std::vector<std::filesystem::path>& paths, Pile& pile) {
  uintmax_t num_bytes = 0;
  for (const auto& path : paths) {
    std::error_code error;
    const uintmax_t size = std::filesystem::file_size(path, error);
    if (!error) num_bytes += std::min(size, static_cast<uintmax_t>(pile.max_bytes)) + 1;
    if (num_bytes > static_cast<uintmax_t>(pile.max_bytes)) return;  // reading will say which file is too much
  }
  pile.bytes.reserve(num_bytes);
}

}  // namespace

SourceBytes read_text(const std::vector<std::string>& patterns, int64_t max_bytes, const ReadListener& listener) {
  if (patterns.empty()) throw DataError("data.source text needs data.files: give paths or globs, such as data.files: [corpus/*.txt.gz]");
  const std::vector<std::filesystem::path> paths = find_files(patterns);
  Pile pile{{}, max_bytes, listener};
  reserve_for(paths, pile);
  for (const auto& path : paths) {
    if (!pile.bytes.empty() && pile.bytes.back() != '\n') pile.add(kNewline, path);
    add_file(path, pile);
  }
  return {std::move(pile.bytes),
          paths.size() == 1 ? fmt::format("text from '{}'", paths.front().string()) : fmt::format("text from {} files", paths.size())};
}

}  // namespace thinwire::data
