// What belongs to one parameter, pruned and coded together: weights, then the first moments, then the second ones ("ExCP: Extreme LLM
// Checkpoint Compression via Weight-Momentum Joint Shrinking", arXiv 2406.11257, sections 3.2 and 3.3).
//
//   a weight stays where it moved by more than `weights` times the median of all moves since the base;
//   a moment stays where its weight does, and it is above `moments` times the mean of all magnitudes;
//   a second moment stays where the first one does; elsewhere it becomes the mean of those that do not, never 0: a step divides by its
//   root.
//
// A weight that does not stay is what it was in the base, as that is restored: what it moved by is offered again by the next checkpoint.
// Medians and means are of a chunk.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "checkpoint/extreme/tensor.h"

namespace thinwire::checkpoint::extreme {

struct Pruning {
  double weights, moments;
};
inline constexpr Pruning kMild{0.6, 2}, kAggressive{2.5, 2};

enum class Role : uint8_t { weight, moment, second_moment };

struct Member {
  Role role = Role::weight;
  std::span<const float> values;  // finite; of one length in a family
  std::optional<size_t> guide{};  // a member before this one
  // Of a weight: what it is in the base, restored, and the indices that it has there, if any.
  std::function<void(size_t chunk, exact::ChunkCoder& coder, MutableBytes values, std::vector<uint8_t>& indices)> before{};
};
inline Kind kind_of(Role role) { return role == Role::weight ? Kind::differences : Kind::values; }

struct Family {
  uint64_t row_elems = 0;
  std::vector<Member> members;
};

bool may_code(Role role, std::span<const float> values);  // all finite, and second moments not negative

// A coding of each member of each family (tensor.h), the same for every number of threads. None of a family whose weights moved by what is
// not finite: since a base that was not.
std::vector<std::vector<std::vector<std::byte>>> encode(const std::vector<Family>& families, const Pruning& pruning, int threads);

// Of a chunk, for coding its indices.
Surroundings surroundings(uint64_t chunk, uint64_t row_elems, Kind kind, std::span<const uint8_t> guide, std::span<const uint8_t> second,
                          std::span<const uint8_t> earlier);

}  // namespace thinwire::checkpoint::extreme
