#include "data/tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "base/check.h"
#include "base/error.h"
#include "base/listing.h"
#include "base/text.h"
#include "data/file.h"
#include "data/tokenizers/bpe.h"
#include "data/tokenizers/bytes.h"
#include "data/tokenizers/sentence_piece.h"

namespace thinwire::data {

namespace fs = std::filesystem;

namespace {

constexpr const char *kJsonName = "tokenizer.json", *kModelName = "tokenizer.model";
constexpr std::array kBeside = {"tokenizer_config.json", "special_tokens_map.json"};
constexpr int64_t kMaxBytes = 256'000'000;  // of one file; the largest that are in use have a tenth

std::string read_whole(const fs::path& path) {
  Pile pile{{}, kMaxBytes};
  InputFile file(path);
  std::vector<uint8_t> piece(1 << 18);
  while (const size_t num_read = file.read(piece)) pile.add(std::span(piece).first(num_read), path);
  return {pile.bytes.begin(), pile.bytes.end()};
}

struct Found {
  fs::path path;
  bool is_json;
};

Found find(const std::string& name) {
  const fs::path given = fs::path(name).has_filename() ? fs::path(name) : fs::path(name).parent_path();
  if (!fs::exists(given)) {
    const std::array<std::string, 2> known = {"byte", "none"};
    const bool is_path = name.find_first_of("/.") != std::string::npos;
    if (is_path) throw DataError(fmt::format("data.tokenizer: '{}' does not exist; {}: correct the path", name, what_is_there(name)));
    throw ConfigError(
        fmt::format("data.tokenizer: '{}'{} is neither byte nor none, and there is no file or folder of that name; {}: correct the path", name,
                    did_you_mean(name, known), what_is_there(name)));
  }
  if (!fs::is_directory(given)) return {given, given.extension() == ".json"};
  for (const char* file : {kJsonName, kModelName}) {
    // Where both are there, they say the same; the model needs no normaliser of ours.
    if (file == std::string_view(kJsonName) && fs::exists(given / kModelName)) continue;
    if (fs::exists(given / file)) return {given / file, file == std::string_view(kJsonName)};
  }
  throw DataError(fmt::format("data.tokenizer: '{}' holds neither {} nor {}", name, kJsonName, kModelName));
}

}  // namespace

std::string Tokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  for (const int32_t token : tokens) text += bytes_of(token);
  return text;
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name) {
  if (name == "byte") return make_byte_tokenizer();
  const Found found = find(name);
  std::vector<TokenizerFile> files = {{found.is_json ? kJsonName : kModelName, read_whole(found.path)}};
  for (const char* beside : kBeside) {
    if (fs::exists(found.path.parent_path() / beside)) files.push_back({beside, read_whole(found.path.parent_path() / beside)});
  }
  const std::string source = found.path.string();
  return found.is_json ? make_bpe_tokenizer(std::move(files), source) : make_sentence_piece_tokenizer(std::move(files), source);
}

double bytes_per_token(const Tokenizer& tokenizer, std::span<const int64_t> tokens) {
  size_t bytes = 0;
  for (const int64_t token : tokens) bytes += tokenizer.bytes_of(static_cast<int32_t>(token)).size();
  return static_cast<double>(bytes) / static_cast<double>(tokens.size());
}

}  // namespace thinwire::data
