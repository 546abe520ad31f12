// How an input of a compressor's target reads: a head that chooses options and a layer, and the rest.
#pragma once
#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "base/hash.h"
#include "compressors/compressor.h"
#include "options.h"
#include "target.h"

namespace thinwire::fuzz {

struct Head {
  OptionBytes options{};
  uint8_t flags = 0;  // what they mean is each target's business
  uint8_t rows = 0;   // one less than the layer's
  uint16_t cols = 0;

  // Most layers are small, for speed; one in four may be longer than a chunk.
  compressors::Layer layer() const {
    constexpr int64_t kMostRows = 64, kSmall = 512, kLarge = 8192;
    const int64_t height = 1 + rows % kMostRows, most = cols % 4 == 3 ? kLarge : kSmall;
    return {.id = 3, .rows = height, .cols = cols / 4 % (most / height + 1)};
  }
  bool flag(int bit) const { return (flags >> bit & 1) != 0; }
};

struct LayerInput {
  explicit LayerInput(ConstBytes input) : seed(hash64(input)) {
    std::byte bytes[sizeof(Head)] = {};  // what an input is too short for is 0
    const size_t head_bytes = std::min(input.size(), sizeof(Head));
    std::copy_n(input.begin(), head_bytes, bytes);
    head = load_le<Head>(bytes);
    rest = input.subspan(head_bytes);
  }
  Head head;
  ConstBytes rest;
  uint64_t seed;  // of the draws
};

inline Bytes bytes_of_input(const Head& head, ConstBytes rest) {
  Bytes input(sizeof head);
  store_le(input.data(), head);
  input.insert(input.end(), rest.begin(), rest.end());
  return input;
}

// A context whose scratch is exactly as long as asked for, so that a sanitizer sees a byte too many, and full of `fill`: nothing may
// depend on what it held before.
class ExactContext {
 public:
  ExactContext(size_t scratch_bytes, uint64_t seed, std::byte fill)
      : scratch_(static_cast<std::byte*>(::operator new(scratch_bytes, kAlignment))),
        context{.scratch = {scratch_.get(), scratch_bytes}, .own = Draw(seed), .shared = Draw(1)} {
    std::ranges::fill(context.scratch, fill);
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* at) const { ::operator delete(at, kAlignment); }
  };
  std::unique_ptr<std::byte, Free> scratch_;

 public:
  compressors::Context context;
};

// What heads the seeds have: defaults first, then a few options at random; layers from nothing to more than a chunk.
inline std::vector<Head> seed_heads() {
  struct Shape {
    uint8_t rows;
    uint16_t cols;
  };
  constexpr uint16_t kLarge = 3;
  const std::vector<Shape> shapes{{1, 37}, {1, 0}, {1, 1}, {4, 64}, {64, 8}, {1, 4101}, {7, 9}, {16, 16}};
  std::vector<Head> heads;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const auto [rows, cols] = shapes[i];
    Head head{.flags = static_cast<uint8_t>(i * 37),
              .rows = static_cast<uint8_t>(rows - 1),
              .cols = static_cast<uint16_t>(4 * cols + (cols > 512 ? kLarge : 0))};
    if (i > 2) std::ranges::generate(head.options, [&, at = 0u]() mutable { return static_cast<uint8_t>(Draw(i).below(at++, 32)); });
    heads.push_back(head);
  }
  return heads;
}

}  // namespace thinwire::fuzz
