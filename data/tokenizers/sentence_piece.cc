#include "data/tokenizers/sentence_piece.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"

namespace thinwire::data {

namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581, which the library writes for a space
constexpr std::string_view kUnknown = "\xef\xbf\xbd";
constexpr size_t kMostAtOnce = 1 << 22;  // the library's memory is a hundred times the text

std::string text_of(const sentencepiece::SentencePieceProcessor& library, int id) {
  if (library.IsControl(id) || library.IsUnused(id)) return "";
  if (library.IsUnknown(id)) return std::string(kUnknown);
  const std::string& piece = library.IdToPiece(id);
  if (library.IsByte(id)) return {static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16))};  // <0x0A>
  std::string text;
  for (size_t at = 0; at < piece.size();) {
    const bool is_space = piece.compare(at, kSpace.size(), kSpace) == 0;
    text += is_space ? ' ' : piece[at];
    at += is_space ? kSpace.size() : 1;
  }
  return text;
}

bool is_byte_name(const std::string& piece) {
  return piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with(">") && piece.find_first_not_of("0123456789ABCDEFabcdef", 3) == 5;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::vector<TokenizerFile> files, const std::string& source) : files_(std::move(files)), source_(source) {
    const auto status = library_.LoadFromSerializedProto(files_.front().content);
    if (!status.ok()) throw DataError(fmt::format("'{}' is no model of SentencePiece that can be used: {}", source, status.ToString()));
    for (int id = 0; id < library_.GetPieceSize(); ++id) {
      if (library_.IsByte(id) && !is_byte_name(library_.IdToPiece(id))) {
        throw DataError(fmt::format("'{}': token {} should be a byte, and is called '{}'", source, id, library_.IdToPiece(id)));
      }
      texts_.push_back(text_of(library_, id));
    }
    const std::vector<int> ids = [&] {
      std::vector<int> found;
      library_.Encode("a", &found).IgnoreError();
      return found;
    }();
    prefixes_space_ = !ids.empty() && texts_[static_cast<size_t>(ids.front())].starts_with(' ');
  }

  std::string description() const override {
    return fmt::format("SentencePiece of {} tokens from '{}'", with_thousands(vocab_size()), source_);
  }
  int64_t vocab_size() const override { return std::ssize(texts_); }

  std::string_view bytes_of(int32_t token) const override {
    check(token >= 0 && token < vocab_size(), "a token is in its vocabulary");
    return texts_[static_cast<size_t>(token)];
  }
  // Without the space that encoding has put in front.
  std::string decode(std::span<const int32_t> tokens) const override {
    std::string text = Tokenizer::decode(tokens);
    if (prefixes_space_ && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }
  std::optional<int32_t> begin_of_text() const override { return known(library_.bos_id()); }
  std::optional<int32_t> end_of_text() const override { return known(library_.eos_id()); }
  std::vector<TokenizerFile> files() const override { return files_; }

 private:
  // A long text is encoded in parts that end with a line, each as if it were a text of its own.
  std::vector<int32_t> encode_text(std::string_view text, const Listener& listener) const override {
    std::vector<int32_t> tokens;
    for (size_t done = 0; !text.empty();) {
      size_t end = text.size();
      if (end > kMostAtOnce) {
        const size_t line = text.rfind('\n', kMostAtOnce - 1);
        end = line == std::string_view::npos ? kMostAtOnce : line + 1;
      }
      std::vector<int> ids;
      const auto status = library_.Encode({text.data(), end}, &ids);
      if (!status.ok()) throw DataError(fmt::format("'{}' cannot encode a text: {}", source_, status.ToString()));
      tokens.insert(tokens.end(), ids.begin(), ids.end());
      text.remove_prefix(end);
      if (listener) listener(done += end);
    }
    return tokens;
  }

  std::optional<int32_t> known(int id) const { return id >= 0 && id < vocab_size() ? std::optional<int32_t>(id) : std::nullopt; }

  std::vector<TokenizerFile> files_;
  std::string source_;
  sentencepiece::SentencePieceProcessor library_;
  std::vector<std::string> texts_;  // by token
  bool prefixes_space_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentence_piece_tokenizer(std::vector<TokenizerFile> files, const std::string& source) {
  check(!files.empty(), "there is a model");
  return std::make_unique<SentencePieceTokenizer>(std::move(files), source);
}

}  // namespace thinwire::data
