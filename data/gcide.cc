#include <fmt/format.h>

#include <system_error>

#include "base/error.h"
#include "data/file.h"
#include "data/gzip.h"
#include "data/sources.h"

namespace thinwire::data {

SourceBytes read_gcide(const std::string& path, int64_t max_bytes, const ReadListener& listener) {
  const std::filesystem::path dictionary = path.empty() ? kGcidePath : path;
  std::error_code error;
  if (!std::filesystem::exists(dictionary, error)) {
    throw DataError(
        fmt::format("data.source gcide: '{}' does not exist: `apt-get install dict-gcide` brings {}; or set data.gcide_path, "
                    "or train on your own files with data.source: text",
                    dictionary.string(), kGcidePath));
  }
  InputFile file(dictionary);
  Pile pile{{}, max_bytes, listener};
  add_unpacked(file, pile);
  return {std::move(pile.bytes), fmt::format("English dictionary GCIDE from '{}'", dictionary.string())};
}

}  // namespace thinwire::data
