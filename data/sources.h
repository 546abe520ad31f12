// What load_corpus can choose from: each source hands back all of its bytes in order, with a line that says what they are.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace thinwire::data {

struct SourceBytes {
  std::vector<uint8_t> bytes;
  std::string description;
};

// A corpus lives in memory, once per process: beyond this it is a mistake or wants another source.
inline constexpr int64_t kMaxCorpusBytes = 8'000'000'000;

inline constexpr int64_t kSyntheticBytes = 4'000'000;

// Where the Debian packages put them.
inline constexpr const char* kGcidePath = "/usr/share/dictd/gcide.dict.dz";            // dict-gcide
inline constexpr const char* kFashionMnistPath = "/usr/share/datasets/fashion-mnist";  // dataset-fashion-mnist, a directory

// `listener` is told now and then how many bytes there are so far.
using ReadListener = std::function<void(size_t num_bytes)>;
SourceBytes read_gcide(const std::string& path, int64_t max_bytes,
                       const ReadListener& listener = {});  // path empty: where dict-gcide puts it
SourceBytes read_text(const std::vector<std::string>& patterns, int64_t max_bytes, const ReadListener& listener = {});
SourceBytes make_synthetic(uint64_t seed);

}  // namespace thinwire::data
