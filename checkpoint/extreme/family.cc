#include "checkpoint/extreme/family.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "checkpoint/exact/parallel.h"
#include "checkpoint/exact/tensor.h"

namespace thinwire::checkpoint::extreme {
namespace {

// One chunk of a family, member by member.
class ChunkOfFamily {
 public:
  ChunkOfFamily(const Family& family, size_t chunk, const Pruning& pruning)
      : family_(family), chunk_(chunk), pruning_(pruning), indices_(family.members.size()) {
    const uint64_t elems = family.members.front().values.size();
    place_ = exact::place_of(chunk, elems, family.row_elems);
  }

  // nullopt: it moved by what is not finite.
  std::optional<CodedChunk> encode(size_t m, exact::ChunkCoder& coder) {
    const Member& member = family_.members[m];
    const auto values = member.values.subspan(static_cast<size_t>(place_.first_elem), place_.elems);
    std::vector<float> before, moved;
    std::vector<uint8_t> earlier;
    if (member.role == Role::weight) {
      before.resize(values.size());
      member.before(chunk_, coder, std::as_writable_bytes(std::span(before)), earlier);
      moved.resize(values.size());
      for (size_t i = 0; i < values.size(); ++i) moved[i] = values[i] - before[i];
      if (!may_code(member.role, moved)) return std::nullopt;
    }
    indices_[m].resize(values.size());
    const Centres centres = prune(member, member.role == Role::weight ? std::span<const float>(moved) : values, indices_[m]);
    std::span<const uint8_t> guide, second;
    if (member.guide) {
      guide = indices_[*member.guide];
      const auto& leads = family_.members[*member.guide].guide;
      if (leads) second = indices_[*leads];
    }
    const Kind kind = kind_of(member.role);
    return encode_chunk(kind, centres, indices_[m], surroundings(chunk_, family_.row_elems, kind, guide, second, earlier), values, before);
  }

 private:
  Centres prune(const Member& member, std::span<const float> values, std::span<uint8_t> indices) const {
    std::vector<uint8_t> stays(values.size(), 1);
    if (member.guide && member.role != Role::weight) {
      for (size_t i = 0; i < stays.size(); ++i) stays[i] = indices_[*member.guide][i] != 0 ? 1 : 0;
    }
    if (member.role == Role::second_moment) return find_centres(values, stays, Spacing::roots, mean_of_pruned(values, stays), indices);
    const float threshold =
        member.role == Role::weight ? threshold_by_median(values, pruning_.weights) : threshold_by_mean(values, pruning_.moments);
    for (size_t i = 0; i < stays.size(); ++i) stays[i] = stays[i] != 0 && std::fabs(values[i]) > threshold ? 1 : 0;
    return find_centres(values, stays, Spacing::values, 0, indices);
  }

  static float mean_of_pruned(std::span<const float> values, const std::vector<uint8_t>& stays) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      if (stays[i] != 0) continue;
      sum += values[i];
      ++count;
    }
    return count == 0 ? 0 : static_cast<float>(sum / static_cast<double>(count));
  }

  const Family& family_;
  size_t chunk_;
  Pruning pruning_;
  exact::Place place_;
  std::vector<std::vector<uint8_t>> indices_;  // by member
};

}  // namespace

bool may_code(Role role, std::span<const float> values) {
  return std::ranges::all_of(values, [role](float x) { return std::isfinite(x) && (role != Role::second_moment || x >= 0); });
}

std::vector<std::vector<std::vector<std::byte>>> encode(const std::vector<Family>& families, const Pruning& pruning, int threads) {
  struct Job {
    size_t family, chunk;
    std::vector<CodedChunk> coded{};  // by member
  };
  std::vector<Job> jobs;
  for (size_t f = 0; f < families.size(); ++f) {
    const auto& members = families[f].members;
    check(std::ranges::all_of(members, [&](const Member& m) { return m.values.size() == members.front().values.size(); }),
          "a family is of one shape");
    for (size_t chunk = 0; chunk < exact::num_chunks(members.front().values.size()); ++chunk) jobs.push_back({f, chunk});
  }
  exact::in_parallel(jobs.size(), threads, [&](size_t i, exact::ChunkCoder& coder) {
    const Family& family = families[jobs[i].family];
    ChunkOfFamily chunk(family, jobs[i].chunk, pruning);
    for (size_t m = 0; m < family.members.size(); ++m) {
      auto coded = chunk.encode(m, coder);
      if (!coded) return jobs[i].coded.clear();
      jobs[i].coded.push_back(*std::move(coded));
    }
  });
  std::vector<std::vector<std::vector<CodedChunk>>> chunks(families.size());
  for (size_t f = 0; f < families.size(); ++f) chunks[f].resize(families[f].members.size());
  for (Job& job : jobs) {
    if (job.coded.empty()) chunks[job.family].clear();
    for (size_t m = 0; m < chunks[job.family].size(); ++m) chunks[job.family][m].push_back(std::move(job.coded[m]));
  }
  std::vector<std::vector<std::vector<std::byte>>> coded(families.size());
  for (size_t f = 0; f < families.size(); ++f) {
    for (size_t m = 0; m < chunks[f].size(); ++m) {
      const Member& member = families[f].members[m];
      coded[f].push_back(joined(kind_of(member.role), member.guide.has_value(), member.values.size(), chunks[f][m]));
    }
  }
  return coded;
}

Surroundings surroundings(uint64_t chunk, uint64_t row_elems, Kind kind, std::span<const uint8_t> guide, std::span<const uint8_t> second,
                          std::span<const uint8_t> earlier) {
  Surroundings around{guide, second, earlier, kind == Kind::values && !guide.empty(), 0, 0};
  if (row_elems == 0 || row_elems > exact::kChunkElems) return around;  // no row above, or none in the chunk
  around.row_elems = static_cast<size_t>(row_elems);
  around.first_column = static_cast<size_t>(chunk * exact::kChunkElems % row_elems);
  return around;
}

}  // namespace thinwire::checkpoint::extreme
