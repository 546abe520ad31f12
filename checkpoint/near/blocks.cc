#include "checkpoint/near/blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace thinwire::checkpoint::near {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float value_of(int level, float scale) { return static_cast<float>(static_cast<double>(level) * scale); }

// A level has 8 bits and a scale 24, so their product is exact; its square rounds once in double and once more to fp32.
float square_of(int level, float scale) {
  const double root = static_cast<double>(level) * scale;
  return static_cast<float>(root * root);
}

// The largest level reaches the largest number: where the quotient is a denormal, rounding may leave it far below.
float scale_of_values(float largest, int q) {
  float scale = static_cast<float>(static_cast<double>(largest) / q);
  while (value_of(q, scale) < largest && scale < std::numeric_limits<float>::min()) scale = std::nextafter(scale, kInfinity);
  while (!std::isfinite(value_of(q, scale))) scale = std::nextafter(scale, 0.0f);
  return scale;
}

void values_of_block(int q, std::span<const float> numbers, float scale, uint8_t* levels) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double level = scale > 0 ? std::nearbyint(static_cast<double>(numbers[i]) / scale) : 0;
    levels[i] = static_cast<uint8_t>(std::clamp<double>(level, -q, q) + q);
  }
}

float scale_of_roots(float largest, int q) {
  float scale = static_cast<float>(std::sqrt(static_cast<double>(largest)) / q);
  while (square_of(q, scale) < largest) scale = std::nextafter(scale, kInfinity);
  return scale;
}

// The lowest level whose square is no less: sqrt and the division may be off by one in the last place, the comparison is not.
uint8_t root_level(int q, float number, float scale) {
  if (number == 0) return 0;
  int level = std::clamp(static_cast<int>(std::ceil(std::sqrt(static_cast<double>(number)) / scale)), 1, q);
  while (level > 1 && square_of(level - 1, scale) >= number) --level;
  while (level < q && square_of(level, scale) < number) ++level;
  return static_cast<uint8_t>(level);
}

}  // namespace

std::optional<Blocks> quantize(const Form& form, std::span<const float> numbers) {
  Blocks blocks;
  blocks.levels.resize(numbers.size());
  for (size_t begin = 0; begin < numbers.size(); begin += kBlock) {
    const auto block = numbers.subspan(begin, std::min(kBlock, numbers.size() - begin));
    uint8_t* levels = blocks.levels.data() + begin;
    float largest = 0;
    for (const float x : block) {
      if (!std::isfinite(x) || (form.of == Form::Of::roots && x < 0)) return std::nullopt;
      largest = std::max(largest, std::fabs(x));
    }
    if (form.of == Form::Of::values) {
      blocks.scales.push_back(scale_of_values(largest, form.q()));
      values_of_block(form.q(), block, blocks.scales.back(), levels);
      continue;
    }
    blocks.scales.push_back(scale_of_roots(largest, form.q()));
    if (!std::isfinite(square_of(form.q(), blocks.scales.back()))) return std::nullopt;
    for (size_t i = 0; i < block.size(); ++i) levels[i] = root_level(form.q(), block[i], blocks.scales.back());
  }
  return blocks;
}

void dequantize(const Form& form, std::span<const uint8_t> levels, std::span<const float> scales, std::span<float> numbers,
                const std::string& source) {
  check(levels.size() == numbers.size() && scales.size() == num_blocks(numbers.size()),
        "there is a level for each, and a scale for each block");
  const int q = form.q(), most = form.of == Form::Of::values ? 2 * q : q;
  for (const float scale : scales) {
    const float furthest = form.of == Form::Of::values ? value_of(q, scale) : square_of(q, scale);
    if (!(scale >= 0) || !std::isfinite(furthest)) throw CorruptData(source + ": a scale of a block is negative or beyond fp32");
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (levels[i] > most) throw CorruptData(source + ": a level is beyond the bits that it has");
    const float scale = scales[i / kBlock];
    numbers[i] = form.of == Form::Of::values ? value_of(levels[i] - q, scale) : square_of(levels[i], scale);
  }
}

}  // namespace thinwire::checkpoint::near
