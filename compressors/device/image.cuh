// For kernels: pieces of a payload that begin at any byte, moved 16 bytes at a time through an image in shared memory, which begins at the
// multiple of 16 at or in front of the piece.
#pragma once
#include "compressors/device/team.cuh"

namespace thinwire::compressors::device {

// Room for the image of a piece of this length; the image is aligned to 16 bytes.
constexpr int image_bytes(int piece_bytes) { return (piece_bytes + 15 + 15) / 16 * 16; }

// Where the piece lies within its image.
__device__ inline int image_shift(const std::byte* piece) { return static_cast<int>(reinterpret_cast<uintptr_t>(piece) & 15); }

// Fetches a piece; its first byte is image[image_shift(piece)]. Payloads may be read up to the multiple of 16 behind them.
template <class Team>
__device__ void read_image(const std::byte* piece, int bytes, std::byte* image) {
  const int shift = image_shift(piece);
  const auto* from = reinterpret_cast<const uint4*>(piece - shift);
  for (int i = Team::rank(); 16 * i < shift + bytes; i += Team::kThreads) reinterpret_cast<uint4*>(image)[i] = from[i];
  Team::sync();
}

// Writes a piece from its image, and nothing beside it.
template <class Team>
__device__ void write_image(const std::byte* image, std::byte* piece, int bytes) {
  Team::sync();
  const int shift = image_shift(piece), end = shift + bytes;
  auto* to = reinterpret_cast<uint4*>(piece - shift);
  for (int i = Team::rank(); 16 * i < end; i += Team::kThreads) {
    if (16 * i >= shift && 16 * (i + 1) <= end) {
      to[i] = reinterpret_cast<const uint4*>(image)[i];
    } else {
      for (int byte = max(16 * i, shift); byte < min(16 * (i + 1), end); ++byte) piece[byte - shift] = image[byte];
    }
  }
}

}  // namespace thinwire::compressors::device
