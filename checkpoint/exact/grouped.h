// Elements sorted into groups (groups.h), and each group coded on its own: as differences from the earlier generation (words.h), or as they
// are, but for the sign, which becomes whether it is another than it was.
//
//   u8 groups - 1; for each group u8 last context, u8 content, u8 rotation; for each group its planes
#pragma once
#include <bit>
#include <vector>

#include "checkpoint/exact/groups.h"
#include "checkpoint/exact/planes.h"

namespace thinwire::checkpoint::exact {

// Persisted: never renumber. zigzags are only read: differences below version 5 of the manifest, whose sign was the lowest bit.
enum class Content : uint8_t { elements = 0, zigzags = 1, differences = 2 };

constexpr Around around(Content content) { return content == Content::differences ? Around::zero : Around::anything; }

struct Group {
  Content content = Content::elements;
  Rotation rotation;
};

struct Grouping {
  std::vector<uint8_t> last;  // contexts: groups.h
  std::vector<Group> groups;
  Groups places;
  double coded_bytes = 0;  // that it is expected to take
};

template <class Word>
class GroupedCoder {
 public:
  // How `words` would best be grouped. With times > 1 they are a sample of so many times as many.
  Grouping plan(std::span<const Word> words, std::span<const Word> before, Numbers numbers, double times) {
    Groups groups(before, numbers);
    const auto fewest = static_cast<size_t>(static_cast<double>(kFewestInGroup) / times);
    Grouping grouping{groups.choose_bounds(std::max(fewest, kFewestInSample)), {}, {}, 0};
    groups.divide(grouping.last);
    sort(words, before, numbers, groups);
    for (size_t g = 0; g < grouping.last.size(); ++g) {
      const auto of_words = static_cast<size_t>(times * static_cast<double>(groups.elems(g)));
      const Rotation of_elements = planes_.choose(part(elements_, groups, g), Around::anything,
                                                  kRotations[numbers == Numbers::floats ? 1 : 0], kMostSampledInGroup, of_words);
      const Rotation of_differences = choose_of_differences(part(differences_, groups, g), of_words);
      const bool differs = of_differences.coded_bytes < of_elements.coded_bytes;
      grouping.groups.push_back({differs ? Content::differences : Content::elements, differs ? of_differences : of_elements});
      grouping.coded_bytes += grouping.groups.back().rotation.coded_bytes;
    }
    grouping.places = std::move(groups);
    return grouping;
  }

  // Of what plan() has just seen.
  void encode(const Grouping& grouping, Repeats repeats, StreamCoder& streams, std::vector<std::byte>& out) {
    const auto append = [&](auto value) { out.push_back(static_cast<std::byte>(value)); };
    append(grouping.last.size() - 1);
    for (size_t g = 0; g < grouping.last.size(); ++g) {
      append(grouping.last[g]);
      append(grouping.groups[g].content);
      append(grouping.groups[g].rotation.bits);
    }
    for (size_t g = 0; g < grouping.last.size(); ++g) {
      const auto& source = grouping.groups[g].content == Content::differences ? differences_ : elements_;
      planes_.encode(part(source, grouping.places, g), around(grouping.groups[g].content), grouping.groups[g].rotation.bits, repeats,
                     streams, out);
    }
  }

  void decode(ByteReader& in, std::span<const Word> before, Numbers numbers, StreamCoder& streams, std::span<Word> words) {
    const Grouping grouping = read(in);
    Groups groups(before, numbers);
    groups.divide(grouping.last);
    make_room(words.size());
    std::array<Word, 256> of_differences{};  // all bits, where a group holds them
    std::array<bool, 256> of_zigzags{};
    for (size_t g = 0; g < grouping.last.size(); ++g) {
      const auto [content, rotation] = grouping.groups[g];
      of_zigzags[g] = content == Content::zigzags;
      if (content != Content::elements) of_differences[g] = static_cast<Word>(~Word{0});
      planes_.decode(in, around(content), rotation.bits, streams, std::span(elements_).subspan(groups.begin(g), groups.elems(g)));
    }
    groups.for_each_place(before, numbers, [&](size_t i, size_t group, size_t place) {
      words[i] = of_zigzags[group] ? towards(unzigzag(elements_[place]), before[i], numbers) : elements_[place];
      differences_[i] = of_differences[group];
    });
    // Both ways for every element: of what is not of the one, nothing remains. Choosing first would take longer.
    const std::span later = std::span(unsorted_).first(words.size());
    kernels::undo_differences(std::span<const Word>(words), before, numbers, later);
    for (size_t i = 0; i < words.size(); ++i) {
      const Word differs = differences_[i];
      words[i] = static_cast<Word>((differs & later[i]) | (~differs & compare_sign(words[i], before[i], numbers)));
    }
  }

 private:
  static constexpr std::array<std::array<unsigned, 1>, 2> kRotations = {{{0}, {3}}};  // of integers; of floats, as in chunk.cc
  static constexpr unsigned kMostRotations = 8, kStepOfRotations = 2;                 // of differences
  static constexpr size_t kMostSampledInGroup = 2048, kFewestInSample = 256;

  static std::span<const Word> part(const std::vector<Word>& sorted, const Groups& groups, size_t g) {
    return std::span(sorted).subspan(groups.begin(g), groups.elems(g));
  }

  // Of floats, the sign becomes whether it is another than it was; and back.
  static Word compare_sign(Word word, Word before, Numbers numbers) {
    return numbers == Numbers::floats ? static_cast<Word>(word ^ (before & kSign<Word>)) : word;
  }

  void make_room(size_t words) {
    for (auto* room : {&elements_, &differences_, &unsorted_}) room->resize(std::max(room->size(), words));
  }

  void sort(std::span<const Word> words, std::span<const Word> before, Numbers numbers, const Groups& groups) {
    make_room(words.size());
    kernels::differences(words, before, numbers, std::span(unsorted_).first(words.size()));
    groups.for_each_place(before, numbers, [&](size_t i, size_t, size_t place) {
      elements_[place] = compare_sign(words[i], before[i], numbers);
      differences_[place] = unsorted_[i];
    });
  }

  // From where the sign of the largest difference stands.
  Rotation choose_of_differences(std::span<const Word> words, size_t of_words) {
    Word all = 0;
    for (const Word word : words) all |= (word & kSign<Word>) != 0 ? static_cast<Word>(~word) : word;
    const auto zeros = static_cast<unsigned>(std::countl_zero(all)), first = zeros == 0 ? 0 : zeros - 1;
    std::vector<unsigned> rotations;
    for (unsigned bits = first; bits < std::min(first + kMostRotations, kWordBits<Word>); bits += kStepOfRotations)
      rotations.push_back(bits);
    if (rotations.empty()) rotations.push_back(0);
    return planes_.choose(words, Around::zero, rotations, kMostSampledInGroup, of_words);
  }

  static Grouping read(ByteReader& in) {
    Grouping grouping;
    grouping.last.resize(size_t{1} + in.read<uint8_t>("groups"));
    grouping.groups.resize(grouping.last.size());
    for (size_t g = 0; g < grouping.last.size(); ++g) {
      grouping.last[g] = in.read<uint8_t>("last context");
      if (g > 0 && grouping.last[g] <= grouping.last[g - 1]) throw CorruptData("the groups of a chunk are not in order");
      const auto content = in.read<uint8_t>("content"), bits = in.read<uint8_t>("rotation");
      if (content > static_cast<uint8_t>(Content::differences) || bits >= kWordBits<Word>)
        throw CorruptData("a group of a chunk has a content or rotation that does not exist");
      grouping.groups[g] = {static_cast<Content>(content), {bits, 0}};
    }
    if (grouping.last.back() != 255) throw CorruptData("the groups of a chunk do not take every element");
    return grouping;
  }

  PlaneCoder<Word> planes_;
  std::vector<Word> elements_, differences_;  // one group after another, and as long as was ever needed
  std::vector<Word> unsorted_;                // differences
};

}  // namespace thinwire::checkpoint::exact
