// A compressor of the registry under options that bytes choose, so that a fuzzer reaches every codec's every mode without a table.
#pragma once
#include <array>
#include <memory>
#include <string_view>

#include "compressors/compressor.h"

namespace thinwire::fuzz {

// One byte for each option in the order of its description (nested ones included), 0 for the default; options beyond the last byte keep
// their default.
using OptionBytes = std::array<uint8_t, 8>;

// Null when these options contradict each other, as the codec's own rules say.
std::shared_ptr<const compressors::Compressor> make_compressor(std::string_view codec, const OptionBytes& bytes);

}  // namespace thinwire::fuzz
