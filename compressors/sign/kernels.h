// sign_reference vectorised (Highway, chosen at run time), bit for bit the same: reference.h has the contracts.
#pragma once
#include "compressors/sign/reference.h"

namespace thinwire::compressors::sign_kernels {

using Magnitudes = sign_reference::Magnitudes;
Magnitudes magnitudes_of(std::span<const float> a);
void zero_bits(std::span<const float> a, std::byte* zeros);
void sign_bits(float scale, std::span<float> a, std::byte* signs);
void add_values(float scale, const std::byte* signs, const std::byte* zeros, float weight, std::span<float> out);

}  // namespace thinwire::compressors::sign_kernels
