// Text to token ids and back. A tokenizer is immutable: share it between threads freely.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string_view name() const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;   // every token is in [0, vocab_size())
  virtual std::string decode(std::span<const int32_t> tokens) const = 0;  // check: every token is in [0, vocab_size())
};

// "byte": token = byte, vocabulary 256; any bytes round-trip, UTF-8 or not. ConfigError for another name.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

}  // namespace thinwire::data
