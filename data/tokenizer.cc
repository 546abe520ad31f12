#include "data/tokenizer.h"

#include <array>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"

namespace thinwire::data {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  std::string_view name() const override { return "byte"; }
  int64_t vocab_size() const override { return 256; }

  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> tokens;
    tokens.reserve(text.size());
    for (const char c : text) tokens.push_back(static_cast<uint8_t>(c));
    return tokens;
  }

  std::string decode(std::span<const int32_t> tokens) const override {
    std::string text;
    text.reserve(tokens.size());
    for (const int32_t token : tokens) {
      check(token >= 0 && token < 256, "a byte token is below 256");
      text.push_back(static_cast<char>(token));
    }
    return text;
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name) {
  if (name == "byte") return std::make_unique<ByteTokenizer>();
  const std::array<std::string, 1> known = {"byte"};
  throw ConfigError("data.tokenizer: unknown tokenizer '" + name + "'" + did_you_mean(name, known) + "; there is: " + join(known, ", "));
}

}  // namespace thinwire::data
