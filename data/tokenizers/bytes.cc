#include "data/tokenizers/bytes.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "data/tokenizers/byte_alphabet.h"

namespace thinwire::data {

namespace {

std::string all_bytes() {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  return bytes;
}

class ByteTokenizer final : public Tokenizer {
 public:
  std::string description() const override { return "bytes"; }
  int64_t vocab_size() const override { return 256; }

  std::string_view bytes_of(int32_t token) const override {
    check(token >= 0 && token < 256, "a byte token is below 256");
    return std::string_view(bytes_).substr(static_cast<size_t>(token), 1);
  }

  // Byte-level BPE that merges nothing.
  std::vector<TokenizerFile> files() const override {
    nlohmann::ordered_json vocab, root;
    for (size_t byte = 0; byte < 256; ++byte) vocab[byte_letters()[byte]] = byte;
    const nlohmann::ordered_json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    root = {{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", nlohmann::ordered_json::array()},
            {"normalizer", nullptr},
            {"pre_tokenizer", level},
            {"post_processor", nullptr},
            {"decoder", level},
            {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::ordered_json::array()}}}};
    const nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
    return {{"tokenizer.json", root.dump(1) + "\n"}, {"tokenizer_config.json", config.dump(1) + "\n"}};
  }

 private:
  std::vector<int32_t> encode_text(std::string_view text, const Listener&) const override {
    std::vector<int32_t> tokens;
    tokens.reserve(text.size());
    for (const char c : text) tokens.push_back(static_cast<uint8_t>(c));
    return tokens;
  }

  std::string bytes_ = all_bytes();
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace thinwire::data
