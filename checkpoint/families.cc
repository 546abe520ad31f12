#include "checkpoint/families.h"

#include <algorithm>

#include "checkpoint/elements.h"

namespace thinwire::checkpoint {
namespace {

constexpr size_t kFewestElems = 128;     // fewer cost as much to tell of as to keep
constexpr size_t kMostGuidesInLine = 2;  // one after another

std::shared_ptr<const TensorReader> base_of(const StateTensor& tensor, const Way& way) {
  auto reader = way.base == nullptr ? nullptr : way.base->reader_as_base(way.file_name, tensor.name);
  const bool fits = reader && reader->tensor().dtype == DType::f32 && reader->num_bytes() == tensor.memory.size();
  return fits ? reader : nullptr;
}

std::optional<extreme::Role> role_of(Tolerance tolerance) {
  switch (tolerance) {
    case Tolerance::weight: return extreme::Role::weight;
    case Tolerance::moment: return extreme::Role::moment;
    case Tolerance::second_moment: return extreme::Role::second_moment;
    case Tolerance::none:
    case Tolerance::residual: return std::nullopt;
  }
  return std::nullopt;
}

class Families {
 public:
  Families(const std::vector<const StateTensor*>& tensors, const Way& way) : tensors_(tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) add(i, way);
    for (const auto& [i, member] : members_) place(i);
  }

  std::vector<extreme::Family> families;
  std::vector<std::vector<size_t>> indices;  // of the tensors, by family and member
  std::string guide_of(size_t i) const {
    const auto guide = find_guide(i);
    return guide ? tensors_[*guide]->name : "";
  }

 private:
  void add(size_t i, const Way& way) {
    const StateTensor& tensor = *tensors_[i];
    const auto role = role_of(tensor.tolerance);
    if (!role || tensor.dtype != DType::f32 || floats_of(tensor).size() < kFewestElems || !extreme::may_code(*role, floats_of(tensor)))
      return;
    extreme::Member member{*role, floats_of(tensor)};
    if (*role == extreme::Role::weight) {
      const auto base = base_of(tensor, way);
      if (!base) return;
      member.before = [base](size_t chunk, exact::ChunkCoder& coder, MutableBytes values, std::vector<uint8_t>& earlier) {
        base->read(chunk, coder, values, earlier);
      };
    }
    members_.emplace(i, std::move(member));
    by_name_.emplace(tensor.name, i);
  }

  std::optional<size_t> find_guide(size_t i) const {
    const auto guide = by_name_.find(tensors_[i]->guide);
    const bool fits = guide != by_name_.end() && guide->second != i && tensors_[guide->second]->shape == tensors_[i]->shape;
    return fits ? std::optional(guide->second) : std::nullopt;
  }

  // Its guides, the first of all first, and itself.
  std::vector<size_t> line_of(size_t i) const {
    std::vector<size_t> line = {i};
    while (const auto guide = find_guide(line.front())) {
      check(line.size() <= kMostGuidesInLine, "guides are weights, or first moments");
      line.insert(line.begin(), *guide);
    }
    return line;
  }

  size_t place(size_t i) {
    if (const auto known = places_.find(i); known != places_.end()) return known->second;
    const auto guide = find_guide(i);
    const size_t root = line_of(i).front();
    if (!guide) {
      family_of_[i] = families.size();
      families.push_back({row_elems(tensors_[i]->shape), {}});
      indices.emplace_back();
    }
    extreme::Member member = members_.at(i);
    if (guide) member.guide = place(*guide);
    const size_t family = family_of_.at(root);
    families[family].members.push_back(std::move(member));
    indices[family].push_back(i);
    return places_[i] = indices[family].size() - 1;
  }

  const std::vector<const StateTensor*>& tensors_;
  std::map<size_t, extreme::Member> members_;
  std::map<std::string, size_t> by_name_;
  std::map<size_t, size_t> places_, family_of_;  // of a tensor: its place among its family's members; of a first one: the family
};

}  // namespace

std::map<size_t, ExtremeCoding> encode_families(const std::vector<const StateTensor*>& tensors, const Way& way) {
  const Families found(tensors, way);
  const extreme::Pruning& pruning = way.options.pruning == "aggressive" ? extreme::kAggressive : extreme::kMild;
  auto coded = extreme::encode(found.families, pruning, static_cast<int>(way.options.threads));
  std::map<size_t, ExtremeCoding> codings;
  for (size_t f = 0; f < coded.size(); ++f) {
    for (size_t m = 0; m < coded[f].size(); ++m) {
      const size_t i = found.indices[f][m];
      codings.emplace(i, ExtremeCoding{extreme::kind_of(found.families[f].members[m].role), found.guide_of(i), std::move(coded[f][m])});
    }
  }
  return codings;
}

}  // namespace thinwire::checkpoint
