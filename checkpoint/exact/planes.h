// Words as planes of bytes, and the rotation that makes the best ones.
#pragma once
#include <algorithm>
#include <array>

#include "checkpoint/exact/entropy.h"
#include "checkpoint/exact/kernels.h"
#include "checkpoint/exact/stream.h"

namespace thinwire::checkpoint::exact {

struct Rotation {
  unsigned bits = 0;
  double coded_bytes = 0;  // that it is expected to take
};

// Of what lies on both sides of 0: half of what `rotation` leaves room for is added before, so that the highest byte tells the sign and the
// highest bits, whichever they are.
enum class Around : uint8_t { anything, zero };
template <class Word>
constexpr Word offset_of(Around around, unsigned rotation) {
  return around == Around::zero ? static_cast<Word>(kSign<Word> >> rotation) : Word{0};
}

template <class Word>
class PlaneCoder {
 public:
  // The best of some rotations, the first of equally good ones, judged by a sample of at most most_sampled words. They stand for of_words
  // words.
  Rotation choose(std::span<const Word> words, Around around, std::span<const unsigned> rotations, size_t most_sampled, size_t of_words) {
    sample_.clear();
    for_each_sampled_run(words.size(), most_sampled, [&](size_t begin, size_t count) {
      sample_.insert(sample_.end(), words.begin() + static_cast<ptrdiff_t>(begin), words.begin() + static_cast<ptrdiff_t>(begin + count));
    });
    Rotation best;
    for (const unsigned bits : rotations) {
      const double coded_bytes = expected_bytes(around, bits, of_words);
      if (bits == rotations.front() || coded_bytes < best.coded_bytes) best = {bits, coded_bytes};
    }
    return best;
  }

  void encode(std::span<const Word> words, Around around, unsigned rotation, Repeats repeats, StreamCoder& streams,
              std::vector<std::byte>& out) {
    const MutableBytes planes = room(words.size());
    kernels::split(words, offset_of<Word>(around, rotation), rotation, planes.data());
    for (size_t p = 0; p < sizeof(Word); ++p) streams.encode(planes.subspan(p * words.size(), words.size()), repeats, out);
  }

  void decode(ByteReader& in, Around around, unsigned rotation, StreamCoder& streams, std::span<Word> words) {
    const MutableBytes planes = room(words.size());
    for (size_t p = 0; p < sizeof(Word); ++p) streams.decode(in, planes.subspan(p * words.size(), words.size()));
    kernels::merge(planes.data(), offset_of<Word>(around, rotation), rotation, words);
  }

 private:
  double expected_bytes(Around around, unsigned rotation, size_t of_words) {
    const MutableBytes planes = room(sample_.size());
    kernels::split(std::span<const Word>(sample_), offset_of<Word>(around, rotation), rotation, planes.data());
    double bytes = 0;
    for (size_t p = 0; p < sizeof(Word); ++p) {
      ByteCounts counts;
      counts.add(planes.subspan(p * sample_.size(), sample_.size()));
      bytes += counts.coded_bytes(of_words);
    }
    return bytes;
  }

  MutableBytes room(size_t words) {
    planes_.resize(std::max(planes_.size(), words * sizeof(Word)));
    return std::span(planes_).first(words * sizeof(Word));
  }

  std::vector<Word> sample_;
  std::vector<std::byte> planes_;
};

}  // namespace thinwire::checkpoint::exact
