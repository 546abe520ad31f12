// Files with seeded damage: each is either refused, or keeps every promise that the header check makes.
#include <gtest/gtest.h>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/safetensors.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

constexpr uint64_t kFiles = 3000;

std::string healthy_file(const TempDir& dir) {
  const std::vector<float> weight(12, 1.5f);
  const std::vector<int64_t> counter(3, -1);
  const std::vector<uint8_t> odd(5, 7);
  write_safetensors(dir / "healthy",
                    {{"model/weight", DType::f32, {3, 4}, bytes_of(std::span(weight))},
                     {"counter", DType::i64, {3}, bytes_of(std::span(counter))},
                     {"odd", DType::u8, {5, 1}, bytes_of(std::span(odd))}},
                    {{"step", "7"}});
  return read(dir / "healthy");
}

// Damage of five kinds, mostly in the length and the header, where it matters.
std::string damaged(std::string bytes, const Draw& draw) {
  static constexpr std::string_view kTelling = "{}[]\",:0198-+.eE\\ \xff\x00F";
  const size_t num_changes = 1 + draw.below(0, 4);
  for (size_t i = 1; i <= num_changes && !bytes.empty(); ++i) {
    const uint64_t kind = draw.below(10 * i, 8);
    const size_t at = draw.below(10 * i + 1, bytes.size());
    if (kind < 3) bytes[at] = static_cast<char>(bytes[at] ^ (1 << draw.below(10 * i + 2, 8)));
    if (kind == 3 || kind == 4) bytes[at] = kTelling[draw.below(10 * i + 3, kTelling.size())];
    if (kind == 5) bytes.resize(at);
    if (kind == 6) bytes.insert(at, bytes.substr(draw.below(10 * i + 4, bytes.size()), draw.below(10 * i + 5, 40)));
    if (kind == 7) bytes.erase(at, draw.below(10 * i + 6, 40));
  }
  return bytes;
}

TEST(SafetensorsFuzz, ADamagedFileIsRefusedOrWhole) {
  TempDir dir;
  const std::string healthy = healthy_file(dir);
  const auto path = dir / "damaged";
  uint64_t refused = 0, read_everything = 0;
  for (uint64_t i = 0; i < kFiles; ++i) {
    const std::string bytes = damaged(healthy, Draw(20260101).fork(i));
    write(path, bytes);
    try {
      const SafetensorsFile file(path);
      uint64_t tensor_bytes = 0;
      for (const auto& [name, entry] : file.tensors()) {
        const std::vector<std::byte> data = file.data(name);
        EXPECT_EQ(data.size(), num_bytes(entry.dtype, entry.shape)) << "file " << i;
        tensor_bytes += data.size();
        read_everything ^= hash64(ConstBytes(data));  // for the sanitizers
      }
      EXPECT_LE(8 + tensor_bytes, bytes.size()) << "file " << i;
    } catch (const CheckpointError&) {
      ++refused;
    }
  }
  EXPECT_NE(read_everything, 0u);
  EXPECT_GT(refused, kFiles / 2);
  EXPECT_LT(refused, kFiles);
}

}  // namespace
}  // namespace thinwire::checkpoint::testing
