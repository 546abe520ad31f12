#include "data/idx.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "data/file.h"
#include "data/gzip.h"

namespace thinwire::data {
namespace {

constexpr uint8_t kUnsignedBytes = 8;
constexpr int64_t kMaxBytes = 1'000'000'000;  // Fashion-MNIST's largest file has 47 MB

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& reason) {
  throw DataError(fmt::format("'{}' is no IDX file as it should be: {}: get it again", path.string(), reason));
}

int64_t big_endian(const uint8_t* from) { return int64_t{from[0]} << 24 | int64_t{from[1]} << 16 | int64_t{from[2]} << 8 | from[3]; }

}  // namespace

IdxBytes read_idx(const std::filesystem::path& path, size_t rank) {
  InputFile file(path);
  Pile pile{{}, kMaxBytes};
  add_unpacked(file, pile);
  std::vector<uint8_t>& bytes = pile.bytes;
  const size_t header_bytes = 4 + 4 * rank;
  if (bytes.size() < header_bytes) refuse(path, fmt::format("{} bytes, less than its header of {}", bytes.size(), header_bytes));
  const uint8_t magic[] = {0, 0, kUnsignedBytes, static_cast<uint8_t>(rank)};
  if (!std::equal(std::begin(magic), std::end(magic), bytes.begin())) {
    refuse(path, fmt::format("it begins with {:02x}, an array of bytes with {} dimensions with {:02x}",
                             fmt::join(bytes.begin(), bytes.begin() + 4, " "), rank, fmt::join(magic, " ")));
  }
  IdxBytes idx;
  const auto num_values = static_cast<int64_t>(bytes.size() - header_bytes);
  int64_t product = 1;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t size = big_endian(&bytes[4 + 4 * i]);
    if (size == 0) refuse(path, "one of its dimensions is 0");
    product = product > num_values / size ? num_values + 1 : product * size;  // stays above what is there instead of overflowing
    idx.sizes.push_back(size);
  }
  if (product != num_values) {
    refuse(path, fmt::format("its header says {} values, and {} bytes follow", fmt::join(idx.sizes, " x "), with_thousands(num_values)));
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header_bytes));
  idx.values = std::move(bytes);
  return idx;
}

}  // namespace thinwire::data
