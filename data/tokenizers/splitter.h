// Cutting a text into the pieces within which byte-level BPE merges ("pre-tokenisation").
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace thinwire::data {

// The pattern of GPT-2 (openai/gpt-2, src/encoder.py), which tokenizer.json means by ByteLevel with use_regex.
extern const char* const kGpt2Pattern;

// A regular expression in the dialect of tokenizer.json, whose matches and whose gaps between them are pieces: \p{..} and \s are Unicode's.
// Immutable; any thread.
class Splitter {
 public:
  // DataError that begins with `source` when it cannot be compiled.
  Splitter(const std::string& pattern, const std::string& source);
  // Every byte of the text is in one piece, in order. Bytes that are no UTF-8 are in no match. DataError when the pattern takes beyond all
  // measure (backtracking is bounded).
  void split(std::string_view text, const std::function<void(std::string_view)>& on_piece) const;

 private:
  std::shared_ptr<const void> code_;
  std::string source_;
};

}  // namespace thinwire::data
