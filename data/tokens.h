// A long row of tokens, in memory or mapped from files, in as many bytes each as they were given. Immutable; copies and slices share the
// memory.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "data/tokenizer.h"

namespace thinwire::data {

class Tokens {
 public:
  struct Piece {
    std::shared_ptr<const void> owner;  // of the memory
    ConstBytes bytes;                   // little-endian
    size_t width = 1;                   // bytes per token: 1, 2 or 4
    std::string source;                 // for messages; empty: no file
    size_t first = 0;                   // number of the piece's first token within its file
    size_t size() const { return bytes.size() / width; }
  };

  Tokens() = default;
  explicit Tokens(std::vector<uint8_t> tokens);
  explicit Tokens(std::vector<Piece> pieces);  // one after another
  // In two bytes each where all fit. check: none is negative.
  static Tokens pack(std::span<const int32_t> tokens, int64_t vocab_size);

  size_t size() const { return size_; }
  int32_t operator[](size_t index) const;
  void copy(size_t first, size_t count, int64_t* to) const;  // check: they are there
  Tokens slice(size_t first, size_t count) const;
  const std::vector<Piece>& pieces() const { return pieces_; }
  bool operator==(const Tokens& other) const;

  // DataError that names the file, the place and the token when one is not below vocab_size. Reads all.
  void require_below(int64_t vocab_size) const;

 private:
  std::vector<Piece> pieces_;  // none is empty
  std::vector<size_t> begins_;
  size_t size_ = 0;
};

}  // namespace thinwire::data
