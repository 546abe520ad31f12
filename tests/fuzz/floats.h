// Floats out of an input's bytes.
#pragma once
#include <cmath>
#include <limits>
#include <vector>

#include "base/bytes.h"
#include "base/draw.h"

namespace thinwire::fuzz {

// `elems` floats: the input's own, over and over, from the given one on. With `spread` the repetitions differ by random factors.
inline std::vector<float> repeated_floats(ConstBytes bytes, size_t elems, size_t from, bool spread) {
  std::vector<float> values(elems, 0.0f);
  const size_t given = bytes.size() / sizeof(float);
  for (size_t i = 0; given > 0 && i < elems; ++i) {
    values[i] = load_le<float>(bytes.data() + (from + i) % given * sizeof(float));
    if (spread && i >= given) values[i] *= static_cast<float>(Draw(7).uniform(i));
  }
  return values;
}

// Values that hurt, for seeds: zeros of both signs, denormals, the largest, ties, and what is not finite.
inline std::vector<std::vector<float>> hurtful_floats() {
  constexpr float kLargest = std::numeric_limits<float>::max(), kSmallest = std::numeric_limits<float>::denorm_min();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  return {{1, -0.5f, 0.25f, 3, -1e-3f},
          {0, -0.0f},
          {kSmallest, -3 * kSmallest, 1e-39f},
          {kLargest, -kLargest, 1},
          {kLargest, -kLargest, kLargest / 2, -0.7f * kLargest},
          {1, 1, -1, 1},
          {1e30f, 1e-30f, -1},
          {65504, 65520, -65536, 6e-8f},
          {1, kInf, std::nanf(""), 2}};
}

}  // namespace thinwire::fuzz
