#include "data/tokenizers/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/splitter.h"
#include "data/tokenizers/tokenizer_json.h"

namespace thinwire::data {

namespace {

constexpr size_t kMostPieceBytes = size_t{1} << 30;
constexpr size_t kMostRemembered = 1 << 18, kMostRememberedBytes = 64;  // pieces, and bytes of one
constexpr size_t kToldBytes = 1 << 16;                                  // from one word to the listener to the next
constexpr std::array kEndNames = {"<|endoftext|>", "<|end_of_text|>", "</s>"};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;
using Memory = TextMap<std::vector<int32_t>>;  // of pieces that were merged before

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(BpeSpec spec, std::vector<TokenizerFile> files, const std::string& source)
      : spec_(std::move(spec)), files_(std::move(files)), source_(source) {
    for (const auto& step : spec_.steps) {
      splitters_.push_back(step.pattern.empty() ? nullptr : std::make_unique<const Splitter>(step.pattern, "'" + source + "'"));
    }
    set_texts();
    // Of two that begin at one place the longer is meant.
    std::sort(spec_.added.begin(), spec_.added.end(), [](const auto& a, const auto& b) { return a.content.size() > b.content.size(); });
    for (const auto& added : spec_.added) begins_added_.set(static_cast<uint8_t>(added.content.front()));
    set_end();
  }

  std::string description() const override {
    return fmt::format("byte-level BPE of {} tokens from '{}'", with_thousands(vocab_size()), source_);
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(spec_.vocab.size()); }
  std::string_view bytes_of(int32_t token) const override {
    check(token >= 0 && token < vocab_size(), "a token is in its vocabulary");
    return texts_[static_cast<size_t>(token)];
  }
  std::optional<int32_t> begin_of_text() const override { return spec_.begin; }
  std::optional<int32_t> end_of_text() const override { return end_; }
  std::vector<TokenizerFile> files() const override { return files_; }

 private:
  // A text on its way.
  struct Work {
    Memory memory;
    std::vector<int32_t> tokens;
    const Listener& listener;
    size_t done = 0, told = 0;  // bytes of the text

    void add(std::span<const int32_t> more, size_t num_bytes) {
      tokens.insert(tokens.end(), more.begin(), more.end());
      done += num_bytes;
      if (!listener || done - told < kToldBytes) return;
      listener(told = done);
    }
  };

  std::vector<int32_t> encode_text(std::string_view text, const Listener& listener) const override {
    Work work{.memory = {}, .tokens = {}, .listener = listener};
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const BpeSpec::Added* added = begins_added_[static_cast<uint8_t>(text[at])] ? added_at(text.substr(at)) : nullptr;
      if (added == nullptr) {
        ++at;
        continue;
      }
      encode_step(text.substr(done, at - done), 0, work);
      work.add(std::span(&added->id, 1), added->content.size());
      done = at += added->content.size();
    }
    encode_step(text.substr(done), 0, work);
    return std::move(work.tokens);
  }

  // What each token stands for, and which token a byte is.
  void set_texts() {
    texts_.resize(spec_.vocab.size());
    byte_tokens_.fill(-1);
    for (size_t id = 0; id < spec_.vocab.size(); ++id) {
      const std::string& letters = spec_.vocab[id].letters;
      if (!bytes_of_letters(letters, texts_[id])) texts_[id] = letters;  // no token that merging makes
    }
    for (const auto& added : spec_.added) texts_[static_cast<size_t>(added.id)] = added.special ? "" : added.content;
    if (spec_.unknown) texts_[static_cast<size_t>(*spec_.unknown)] = "";
    std::unordered_map<std::string_view, int32_t> ids;
    for (size_t id = 0; id < spec_.vocab.size(); ++id) {
      if (spec_.vocab[id].is_there) ids[spec_.vocab[id].letters] = static_cast<int32_t>(id);
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      if (const auto found = ids.find(byte_letters()[byte]); found != ids.end()) byte_tokens_[byte] = found->second;
    }
    if (!spec_.ignore_merges) return;
    std::string bytes;
    for (const auto& [letters, id] : ids) {
      if (bytes_of_letters(letters, bytes)) whole_.emplace(bytes, id);
    }
  }

  void set_end() {
    std::vector<std::string> names(kEndNames.begin(), kEndNames.end());
    for (const auto& [name, content] : files_) {
      if (name != "tokenizer_config.json") continue;
      if (const auto said = parse_end_token(content, name)) names = {*said};
    }
    for (const std::string& name : names) {
      for (const auto& added : spec_.added) {
        if (added.content == name && !end_) end_ = added.id;
      }
    }
  }

  const BpeSpec::Added* added_at(std::string_view text) const {
    for (const auto& added : spec_.added) {
      if (text.starts_with(added.content)) return &added;
    }
    return nullptr;
  }

  void encode_step(std::string_view piece, size_t step, Work& work) const {
    if (piece.empty()) return;
    if (step == spec_.steps.size()) return encode_piece(piece, work);
    std::string prefixed;
    if (spec_.steps[step].prefix_space && piece.front() != ' ') {
      prefixed.push_back(' ');
      prefixed += piece;
      piece = prefixed;
    }
    if (!splitters_[step]) return encode_step(piece, step + 1, work);
    splitters_[step]->split(piece, [&](std::string_view part) { encode_step(part, step + 1, work); });
  }

  void encode_piece(std::string_view piece, Work& work) const {
    if (const auto known = work.memory.find(piece); known != work.memory.end()) return work.add(known->second, piece.size());
    std::vector<int32_t> merged = merge(piece);
    work.add(merged, piece.size());
    if (piece.size() <= kMostRememberedBytes && work.memory.size() < kMostRemembered) work.memory.emplace(piece, std::move(merged));
  }

  std::vector<int32_t> merge(std::string_view piece) const {
    if (spec_.ignore_merges) {
      if (const auto whole = whole_.find(piece); whole != whole_.end()) return {whole->second};
    }
    if (piece.size() > kMostPieceBytes)
      throw DataError(fmt::format("'{}': a piece of {} bytes is too long to be merged", source_, piece.size()));
    std::vector<int32_t> tokens;
    tokens.reserve(piece.size());
    for (const char c : piece) {
      int32_t token = byte_tokens_[static_cast<uint8_t>(c)];
      if (token < 0 && !spec_.unknown) {
        throw DataError(
            fmt::format("'{}' has no token for the byte 0x{:02x}, and none for what is unknown: train it with all 256 bytes in its "
                        "alphabet",
                        source_, static_cast<uint8_t>(c)));
      }
      if (token < 0) token = *spec_.unknown;
      const bool fused = token == spec_.unknown && spec_.fuse_unknown && !tokens.empty() && tokens.back() == token;
      if (!fused) tokens.push_back(token);
    }
    spec_.merges.apply(tokens);
    return tokens;
  }

  BpeSpec spec_;
  std::vector<TokenizerFile> files_;
  std::string source_;
  std::vector<std::unique_ptr<const Splitter>> splitters_;  // by step; null: it does not cut
  std::vector<std::string> texts_;                          // by token
  std::array<int32_t, 256> byte_tokens_{};                  // -1: there is none
  TextMap<int32_t> whole_;                                  // by bytes, where merges may be ignored
  std::bitset<256> begins_added_;
  std::optional<int32_t> end_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(std::vector<TokenizerFile> files, const std::string& source) {
  check(!files.empty() && files.front().name == "tokenizer.json", "the first file is the tokenizer itself");
  BpeSpec spec = parse_tokenizer_json(files.front().content, source);
  return std::make_unique<BpeTokenizer>(std::move(spec), std::move(files), source);
}

}  // namespace thinwire::data
