// What exact coding does to numbers, in plain C++: the oracle of the kernels, and the definition of what is stored.
//
// A number of w bits is taken as the unsigned word of its bits, so that nothing is ever rounded and every step can be undone: NaN
// payloads, -0 and denormals stay as they are. Arithmetic is modulo 2^w. Word is an unsigned integer of 8, 16, 32 or 64 bits.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace thinwire::checkpoint::exact {

enum class Numbers : uint8_t { integers, floats };

template <class Word>
inline constexpr unsigned kWordBits = 8 * sizeof(Word);
template <class Word>
inline constexpr Word kSign = static_cast<Word>(Word{1} << (kWordBits<Word> - 1));

// Floats of either sign in ascending order, from 0 on; integers as they are.
template <class Word>
constexpr Word ordered(Word x, Numbers numbers) {
  if (numbers == Numbers::integers) return x;
  return static_cast<Word>((x & kSign<Word>) != 0 ? ~x : x | kSign<Word>);
}
template <class Word>
constexpr Word unordered(Word x, Numbers numbers) {
  if (numbers == Numbers::integers) return x;
  return static_cast<Word>((x & kSign<Word>) != 0 ? x ^ kSign<Word> : ~x);
}

// 0, 1, 2, 3, ... become 0, -1, 1, -2, ...
template <class Word>
constexpr Word unzigzag(Word x) {
  return static_cast<Word>(x >> 1 ^ ((x & 1) != 0 ? ~Word{0} : Word{0}));
}

// x or, of a float below 0, -x.
template <class Word>
constexpr Word towards(Word x, Word earlier, Numbers numbers) {
  return numbers == Numbers::floats && (earlier & kSign<Word>) != 0 ? static_cast<Word>(-x) : x;
}

// By how many places x lies beyond `earlier`, counted away from zero for floats: what moves towards zero, as moments do that decay, has the
// sign in common. And back.
template <class Word>
constexpr Word difference(Word x, Word earlier, Numbers numbers) {
  return towards(static_cast<Word>(ordered(x, numbers) - ordered(earlier, numbers)), earlier, numbers);
}
template <class Word>
constexpr Word later(Word difference, Word earlier, Numbers numbers) {
  return unordered(static_cast<Word>(towards(difference, earlier, numbers) + ordered(earlier, numbers)), numbers);
}

namespace reference {

// All spans have one length; out may be the input.
template <class Word>
void differences(std::span<const Word> x, std::span<const Word> earlier, Numbers numbers, std::span<Word> out) {
  for (size_t i = 0; i < x.size(); ++i) out[i] = difference(x[i], earlier[i], numbers);
}
template <class Word>
void undo_differences(std::span<const Word> d, std::span<const Word> earlier, Numbers numbers, std::span<Word> out) {
  for (size_t i = 0; i < d.size(); ++i) out[i] = later(d[i], earlier[i], numbers);
}

template <class Word>
Word expected(uint16_t row, uint16_t column, unsigned shift) {
  return static_cast<Word>(static_cast<Word>(static_cast<uint16_t>(row + column)) << shift);
}
template <class Word>
Word with_magnitude(Word x, Word magnitude) {
  return static_cast<Word>((x & kSign<Word>) | (magnitude & ~kSign<Word>));
}

// Some elements of one row: from all bits but the sign, (row + column) 2^shift is taken away, and given back. out may be the input.
template <class Word>
void scale(std::span<const Word> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<Word> out) {
  for (size_t j = 0; j < x.size(); ++j) out[j] = with_magnitude(x[j], static_cast<Word>(x[j] - expected<Word>(row, columns[j], shift)));
}
template <class Word>
void undo_scale(std::span<const Word> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<Word> out) {
  for (size_t j = 0; j < x.size(); ++j) out[j] = with_magnitude(x[j], static_cast<Word>(x[j] + expected<Word>(row, columns[j], shift)));
}

// Byte p, counted from the lowest, of each word, to which `offset` is added, rotated left by `rotation` bits goes to plane p. `planes`
// holds one plane after another.
template <class Word>
void split(std::span<const Word> words, Word offset, unsigned rotation, std::byte* planes) {
  for (size_t i = 0; i < words.size(); ++i) {
    const Word rotated = std::rotl(static_cast<Word>(words[i] + offset), static_cast<int>(rotation));
    for (size_t p = 0; p < sizeof(Word); ++p) planes[p * words.size() + i] = static_cast<std::byte>(rotated >> (8 * p));
  }
}
template <class Word>
void merge(const std::byte* planes, Word offset, unsigned rotation, std::span<Word> words) {
  for (size_t i = 0; i < words.size(); ++i) {
    uint64_t rotated = 0;
    for (size_t p = 0; p < sizeof(Word); ++p) rotated |= static_cast<uint64_t>(planes[p * words.size() + i]) << (8 * p);
    words[i] = static_cast<Word>(std::rotr(static_cast<Word>(rotated), static_cast<int>(rotation)) - offset);
  }
}

}  // namespace reference
}  // namespace thinwire::checkpoint::exact
