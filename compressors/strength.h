// How hard a codec compresses, as plans may choose it layer by layer (compressors/plan/candidates.h).
#pragma once
#include <cstdint>
#include <string_view>

namespace thinwire::compressors {

// A codec's options say `static constexpr Strength kStrength{...}` where one of them sets the strength. D is its configured value.
struct Strength {
  enum class Sweep : uint8_t {
    tenths,     // D/10 .. 10 D in steps of D/10, at most 100 %
    whole,      // D/2 .. 2 D in steps of 1
    doublings,  // D/8 .. 8 D by factors of 2
  };
  std::string_view option;
  Sweep sweep;
};

}  // namespace thinwire::compressors
