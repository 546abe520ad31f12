#include "base/draw.h"

#include <cmath>
#include <numbers>

#include "base/hash.h"

namespace thinwire {

namespace {
std::array<uint32_t, 4> block(uint64_t seed, uint64_t stream, uint64_t index) {
  return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), static_cast<uint32_t>(stream),
                     static_cast<uint32_t>(stream >> 32)},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}
uint64_t join(uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; }
double unit(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }
}  // namespace

Draw Draw::fork(std::string_view purpose) const { return Draw(seed_, hash64(purpose, stream_ + 1)); }
Draw Draw::fork(uint64_t number) const { return Draw(seed_, hash64(bytes_of(std::span(&number, 1)), stream_ + 2)); }

std::array<uint32_t, 4> Draw::words(uint64_t index) const { return block(seed_, stream_, index); }
uint64_t Draw::bits(uint64_t index) const {
  const auto b = block(seed_, stream_, index);
  return join(b[0], b[1]);
}
uint64_t Draw::below(uint64_t index, uint64_t bound) const {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(bits(index)) * bound >> 64);
}
double Draw::uniform(uint64_t index) const { return unit(bits(index)); }
double Draw::normal(uint64_t index) const {
  const auto b = block(seed_, stream_, index);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit(join(b[0], b[1]))));  // 1 - u is in (0, 1]: the log is finite
  return radius * std::cos(2.0 * std::numbers::pi * unit(join(b[2], b[3])));
}

}  // namespace thinwire
