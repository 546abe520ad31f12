#include "data/tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"

namespace thinwire::data {

namespace {

uint32_t load(const Tokens::Piece& piece, size_t index) {
  const std::byte* at = piece.bytes.data() + index * piece.width;
  if (piece.width == 1) return load_le<uint8_t>(at);
  return piece.width == 2 ? load_le<uint16_t>(at) : load_le<uint32_t>(at);
}

template <class T>
Tokens::Piece piece_of(std::vector<T> values) {
  const auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  return {owner, bytes_of(std::span(*owner)), sizeof(T), "", 0};
}

template <class T>
uint32_t largest(ConstBytes bytes) {
  T most = 0;
  for (size_t at = 0; at < bytes.size(); at += sizeof(T)) most = std::max(most, load_le<T>(bytes.data() + at));
  return most;
}

uint32_t largest_in(const Tokens::Piece& piece) {
  if (piece.width == 1) return largest<uint8_t>(piece.bytes);
  return piece.width == 2 ? largest<uint16_t>(piece.bytes) : largest<uint32_t>(piece.bytes);
}

}  // namespace

Tokens::Tokens(std::vector<Piece> pieces) {
  for (Piece& piece : pieces) {
    if (piece.size() == 0) continue;
    begins_.push_back(size_);
    size_ += piece.size();
    pieces_.push_back(std::move(piece));
  }
}

Tokens::Tokens(std::vector<uint8_t> tokens) : Tokens(std::vector<Piece>{piece_of(std::move(tokens))}) {}

Tokens Tokens::pack(std::span<const int32_t> tokens, int64_t vocab_size) {
  for (const int32_t token : tokens) check(token >= 0 && token < vocab_size, "a token is in its vocabulary");
  if (vocab_size <= 1 << 16) return Tokens({piece_of(std::vector<uint16_t>(tokens.begin(), tokens.end()))});
  return Tokens({piece_of(std::vector<uint32_t>(tokens.begin(), tokens.end()))});
}

int32_t Tokens::operator[](size_t index) const {
  int64_t token = 0;
  copy(index, 1, &token);
  return static_cast<int32_t>(token);
}

void Tokens::copy(size_t first, size_t count, int64_t* to) const {
  check(first <= size_ && count <= size_ - first, "tokens that there are");
  size_t at = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), first) - begins_.begin());
  for (size_t left = count, from = first; left > 0; ++at) {
    const Piece& piece = pieces_[at - 1];
    const size_t begin = from - begins_[at - 1], part = std::min(left, piece.size() - begin);
    for (size_t i = 0; i < part; ++i) *to++ = load(piece, begin + i);
    left -= part;
    from += part;
  }
}

Tokens Tokens::slice(size_t first, size_t count) const {
  check(first <= size_ && count <= size_ - first, "tokens that there are");
  std::vector<Piece> parts;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const size_t begin = std::max(first, begins_[i]), end = std::min(first + count, begins_[i] + pieces_[i].size());
    if (begin >= end) continue;
    Piece part = pieces_[i];
    part.bytes = part.bytes.subspan((begin - begins_[i]) * part.width, (end - begin) * part.width);
    part.first += begin - begins_[i];
    parts.push_back(std::move(part));
  }
  return Tokens(std::move(parts));
}

bool Tokens::operator==(const Tokens& other) const {
  if (size_ != other.size_) return false;
  for (size_t i = 0; i < size_; ++i) {
    if ((*this)[i] != other[i]) return false;
  }
  return true;
}

void Tokens::require_below(int64_t vocab_size) const {
  for (const Piece& piece : pieces_) {
    if (static_cast<int64_t>(largest_in(piece)) < vocab_size) continue;
    size_t index = 0;
    while (static_cast<int64_t>(load(piece, index)) < vocab_size) ++index;
    throw DataError(
        fmt::format("'{}': token number {} is {}, and the vocabulary has {}: it was made with another tokenizer, or data.format is "
                    "not its own",
                    piece.source, piece.first + index, load(piece, index), with_thousands(vocab_size)));
  }
}

}  // namespace thinwire::data
