// What words.h defines, vectorised (Highway, chosen at run time) where floats have 16 or 32 bits, bit for bit the same; for other widths
// the reference itself.
#pragma once
#include "checkpoint/exact/words.h"

namespace thinwire::checkpoint::exact::kernels {

void differences(std::span<const uint16_t> x, std::span<const uint16_t> earlier, Numbers numbers, std::span<uint16_t> out);
void differences(std::span<const uint32_t> x, std::span<const uint32_t> earlier, Numbers numbers, std::span<uint32_t> out);
void undo_differences(std::span<const uint16_t> d, std::span<const uint16_t> earlier, Numbers numbers, std::span<uint16_t> out);
void undo_differences(std::span<const uint32_t> d, std::span<const uint32_t> earlier, Numbers numbers, std::span<uint32_t> out);
void scale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out);
void undo_scale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out);
void split(std::span<const uint16_t> words, uint16_t offset, unsigned rotation, std::byte* planes);
void split(std::span<const uint32_t> words, uint32_t offset, unsigned rotation, std::byte* planes);
void merge(const std::byte* planes, uint16_t offset, unsigned rotation, std::span<uint16_t> words);
void merge(const std::byte* planes, uint32_t offset, unsigned rotation, std::span<uint32_t> words);

template <class Word>
void differences(std::span<const Word> x, std::span<const Word> earlier, Numbers numbers, std::span<Word> out) {
  reference::differences(x, earlier, numbers, out);
}
template <class Word>
void undo_differences(std::span<const Word> d, std::span<const Word> earlier, Numbers numbers, std::span<Word> out) {
  reference::undo_differences(d, earlier, numbers, out);
}
template <class Word>
void scale(std::span<const Word> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<Word> out) {
  reference::scale(x, row, columns, shift, out);
}
template <class Word>
void undo_scale(std::span<const Word> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<Word> out) {
  reference::undo_scale(x, row, columns, shift, out);
}
template <class Word>
void split(std::span<const Word> words, Word offset, unsigned rotation, std::byte* planes) {
  reference::split(words, offset, rotation, planes);
}
template <class Word>
void merge(const std::byte* planes, Word offset, unsigned rotation, std::span<Word> words) {
  reference::merge(planes, offset, rotation, words);
}

}  // namespace thinwire::checkpoint::exact::kernels
