#include "data/footprint.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/bytes.h"
#include "base/error.h"
#include "data/file.h"
#include "data/paths.h"
#include "data/sources.h"

namespace thinwire::data {

namespace fs = std::filesystem;

namespace {

constexpr double kBytesPerToken = 4;  // of text
constexpr double kMostRatio = 1032;   // of deflate (zlib's technical notes)
constexpr double kWidth = 2;          // of a token that is kept
constexpr double kEncoded = 4;        // of one that the tokenizer gives

// gzip ends with the length of what it holds, modulo 2^32 (RFC 1952, section 2.3.1); a length that deflate cannot reach is none. 0 where
// there is no such file.
double unpacked_bytes(const fs::path& path) {
  std::error_code absent;
  const auto bytes = fs::file_size(path, absent);
  if (absent) return 0;
  if (!has_gzip_name(path) || bytes < 18) return static_cast<double>(bytes);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  std::array<std::byte, 4> stated{};
  const bool has_read = file && std::fseek(file.get(), -4, SEEK_END) == 0 && std::fread(stated.data(), 1, 4, file.get()) == 4;
  const double unpacked = has_read ? static_cast<double>(load_le<uint32_t>(stated.data())) : 0, packed = static_cast<double>(bytes);
  return unpacked > kMostRatio * packed ? packed : std::max(unpacked, packed / kMostRatio);
}

// A vector that doubles holds both halves for a moment.
double grown_bytes(double bytes) {
  double room = 1 << 18;
  while (room * 2 < bytes) room *= 2;
  return std::max(bytes, std::min(2 * room, 2 * bytes));
}

double sum_of(const std::vector<std::string>& patterns) {
  double bytes = 0;
  for (const fs::path& path : find_files(patterns)) bytes += unpacked_bytes(path);
  return bytes;
}

Footprint of_text(double bytes, const DataOptions& options) {
  Footprint footprint{bytes, grown_bytes(bytes), false, bytes > 0};
  if (options.tokenizer == "byte") return footprint;
  const double tokens = bytes / kBytesPerToken;
  footprint.kept_bytes = tokens * kWidth;
  footprint.loading_bytes = std::max(footprint.loading_bytes, bytes + tokens * (2 * kEncoded + kWidth));
  return footprint;
}

Footprint of_images(const DataOptions& options) {
  const fs::path directory = options.fashion_mnist_path.empty() ? kFashionMnistPath : options.fashion_mnist_path;
  Footprint footprint;
  double largest = 0;
  for (const char* name :
       {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}) {
    const double bytes = unpacked_bytes(directory / name);
    footprint.kept_bytes += bytes;
    largest = std::max(largest, bytes);
  }
  footprint.loading_bytes = std::max(footprint.kept_bytes, 2 * largest);  // which comes first, as it is unpacked and as its pixels
  footprint.is_known = largest > 0;
  return footprint;
}

Footprint of_tokens(const DataOptions& options) {
  const double bytes = sum_of(options.files) + (options.validation_files.empty() ? 0 : sum_of(options.validation_files));
  return {bytes, bytes, true, bytes > 0};
}

}  // namespace

Footprint footprint(const DataOptions& options) {
  try {
    if (options.images()) return of_images(options);
    if (options.source == "tokens") return of_tokens(options);
    if (options.source == "synthetic") return of_text(static_cast<double>(kSyntheticBytes), options);
    if (options.source == "text") return of_text(sum_of(options.files), options);
    return of_text(unpacked_bytes(options.gcide_path.empty() ? kGcidePath : options.gcide_path), options);
  } catch (const DataError&) {
    return {.is_known = false};
  }
}

}  // namespace thinwire::data
