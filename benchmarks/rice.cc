// bench_rice: how many positions a second Rice coding takes and gives, for runs of 64 of 4096, on one core: each run in
// bytes of its own, and all in one stream of bits.
#include "compressors/entropy/rice.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/draw.h"
#include "timing.h"

namespace thinwire::benchmarks {
namespace {

constexpr size_t kOf = 4096, kKept = 64, kRuns = 16384;
constexpr int kRounds = 9;
const unsigned kParameter = compressors::rice::parameter_for(kKept, kOf);

std::vector<uint16_t> random_positions() {
  std::vector<uint16_t> positions;
  for (uint64_t run = 0; run < kRuns; ++run) {
    std::set<uint16_t> chosen;
    for (uint64_t i = 0; chosen.size() < kKept; ++i) chosen.insert(static_cast<uint16_t>(Draw(run).below(i, kOf)));
    positions.insert(positions.end(), chosen.begin(), chosen.end());
  }
  return positions;
}

namespace rice = compressors::rice;

// A form's way to code all runs: bytes used, and whether what came back was accepted.
struct Bytes {
  static constexpr const char* kName = "bytes of its own";
  static size_t encode(std::span<const uint16_t> positions, std::byte* out) {
    std::byte* at = out;
    for (size_t i = 0; i < positions.size(); i += kKept) at += rice::encode(positions.subspan(i, kKept), kParameter, at);
    return static_cast<size_t>(at - out);
  }
  static bool decode(ConstBytes coded, std::span<uint16_t> positions) {
    bool ok = true;
    for (size_t i = 0; i < positions.size(); i += kKept) {
      size_t used_bytes = 0;
      ok = rice::decode(coded, kParameter, kOf, positions.subspan(i, kKept), used_bytes) && ok;
      coded = coded.subspan(used_bytes);
    }
    return ok;
  }
};
struct Stream {
  static constexpr const char* kName = "a shared stream";
  static size_t encode(std::span<const uint16_t> positions, std::byte* out) {
    compressors::BitWriter writer(out);
    for (size_t i = 0; i < positions.size(); i += kKept) rice::encode(positions.subspan(i, kKept), kParameter, writer);
    return static_cast<size_t>(writer.finish() - out);
  }
  static bool decode(ConstBytes coded, std::span<uint16_t> positions) {
    compressors::BitReader reader(coded);
    bool ok = true;
    for (size_t i = 0; i < positions.size(); i += kKept) {
      ok = rice::decode(reader, kParameter, kOf, positions.subspan(i, kKept)) && ok;
    }
    return ok;
  }
};

template <class Form>
bool run(std::span<const uint16_t> positions) {
  std::vector<uint16_t> decoded(positions.size());
  std::vector<std::byte> coded(kRuns * rice::worst_bytes(kKept, kOf, kParameter));
  size_t coded_bytes = 0;
  bool ok = true;
  const auto s = interleaved(
      kRounds, [&] { return seconds_of([&] { coded_bytes = Form::encode(positions, coded.data()); }); },
      [&] { return seconds_of([&] { ok = Form::decode(ConstBytes(coded).first(coded_bytes), decoded) && ok; }); });
  const double count = static_cast<double>(positions.size());
  fmt::print("Rice, {} of {}, parameter {}, each run in {}: {:.3f} bits a position, encode {:.0f} M/s, decode {:.0f} M/s\n", kKept, kOf,
             kParameter, Form::kName, 8 * static_cast<double>(coded_bytes) / count, count / least(s[0]) / 1e6, count / least(s[1]) / 1e6);
  return ok && std::ranges::equal(decoded, positions);
}

int run() {
  stay_on_one_core();
  const std::vector<uint16_t> positions = random_positions();
  if (run<Bytes>(positions) && run<Stream>(positions)) return 0;
  fmt::print(stderr, "positions do not survive their coding\n");
  return 1;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main() { return thinwire::benchmarks::run(); }
