// Text to token ids and back. A tokenizer is immutable: share it between threads freely.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::data {

// A file by which Hugging Face's AutoTokenizer, or SentencePiece, knows the same tokenizer.
struct TokenizerFile {
  std::string name;  // "tokenizer.json"
  std::string content;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string description() const = 0;  // for the log: what it is, from where
  virtual int64_t vocab_size() const = 0;
  // Every token is in [0, vocab_size()). No begin-of-text token is put in front. DataError where a text cannot be expressed in tokens.
  // `listener` is told now and then how many bytes of the text are done.
  using Listener = std::function<void(size_t done_bytes)>;
  std::vector<int32_t> encode(std::string_view text, const Listener& listener = {}) const { return encode_text(text, listener); }
  // What a token stands for within a text; nothing for tokens that mark something, such as its end. check: it is in [0, vocab_size()).
  virtual std::string_view bytes_of(int32_t token) const = 0;
  virtual std::string decode(std::span<const int32_t> tokens) const;  // bytes_of() each, in a row
  // What is put in front of a text, as by Hugging Face's tokenizer(text), and what ends one; nullopt where there is no such token.
  virtual std::optional<int32_t> begin_of_text() const { return std::nullopt; }
  virtual std::optional<int32_t> end_of_text() const { return std::nullopt; }
  virtual std::vector<TokenizerFile> files() const = 0;

 private:
  virtual std::vector<int32_t> encode_text(std::string_view text, const Listener& listener) const = 0;
};

// "byte": token = byte, vocabulary 256; any bytes round-trip, UTF-8 or not.
// A path: tokenizer.json (byte-level BPE), a SentencePiece .model, or a folder that holds one of them; a folder may hold
// tokenizer_config.json too, which says what ends a text. ConfigError for a name that is neither; DataError for a file that is damaged, or
// that asks for what is not built.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

// The mean number of bytes per token, each counted as bytes_of() says.
double bytes_per_token(const Tokenizer& tokenizer, std::span<const int64_t> tokens);

}  // namespace thinwire::data
