// A chunk: up to kChunkElems elements of a tensor, coded on their own, so that chunks are coded in parallel and damage stays in one.
//
// Elements become words (words.h), words become planes of bytes, one for each byte of a word, and each plane a stream (stream.h). A word is
// rotated first, by as many bits as make the best planes: the sign leaves the byte of the exponent, or the bits that matter of a small
// difference come to lie in one byte. The encoder chooses among four forms by what samples would cost:
//
//   0 plain    the elements as they are
//   1 scaled   less what their row and column let expect (scale.h): second moments
//   2 grouped  with an earlier generation of the tensor: elements are sorted by the exponent that they had there, into groups. Each is
//   coded
//              on its own, as differences (words.h) or as it is. Why sorted: one step of the optimiser changes all elements by about the
//              same amount, so how many bits a difference has depends on the exponent alone.
//
// docs/formats/checkpoint.md has the bytes.
#pragma once
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "checkpoint/exact/scale.h"

namespace thinwire::checkpoint::exact {

inline constexpr size_t kChunkElems = size_t{1} << 18;

struct Chunk {
  DType dtype = DType::f32;
  Place place;  // elems: of the chunk, at most kChunkElems; row_elems: 0 where rows mean nothing
  // Of the same place of the earlier generation: as long as the chunk, or empty.
  ConstBytes earlier;
  double least_gain = 0;  // the share of the bytes that a coding which needs `earlier` must save, to be chosen
};

// Whether decoding needs `earlier`: true when the chunk is grouped or relative.
bool needs_earlier(ConstBytes coded);

// One thread's buffers: 20 MB at most. What is written depends on the arguments alone.
class ChunkCoder {
 public:
  ChunkCoder();
  ~ChunkCoder();
  ConstBytes encode(const Chunk& chunk, ConstBytes bytes);  // valid until the next call
  // Fills `out`, which has the chunk's size. Whatever `coded` holds: all of it is used up and gives all of `out`, or CorruptData.
  void decode(const Chunk& chunk, ConstBytes coded, MutableBytes out);

 private:
  template <class Word>
  struct Worker;
  template <class Word>
  Worker<Word>& worker();

  struct Workers;
  std::unique_ptr<Workers> workers_;
};

}  // namespace thinwire::checkpoint::exact
