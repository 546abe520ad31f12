// What says what tokens are, of any bytes: a tokenizer.json, the header of an llm.c file, an index of Megatron. Either is understood, and
// then keeps its promises, or it is a DataError that says where the bytes are from.
#include <nlohmann/json.hpp>

#include "data/token_files.h"
#include "data/tokenizer.h"
#include "data/tokenizers/bpe.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

using namespace data;

constexpr const char* kSource = "a file";

template <class Use>
void use_or_refuse(const Use& use) {
  try {
    use();
  } catch (const DataError& error) {
    require(std::string(error.what()).find(kSource) != std::string::npos, "the message says where the bytes are from");
  }
}

std::string text_of(ConstBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Bytes of_text(std::string_view text) {
  const ConstBytes bytes = bytes_of(text);
  return {bytes.begin(), bytes.end()};
}

void run_tokenizer(ConstBytes input) {
  use_or_refuse([&] {
    const auto tokenizer = make_bpe_tokenizer({{"tokenizer.json", text_of(input)}}, kSource);
    for (const int32_t token : tokenizer->encode("The cat's 12 \n\n h\xc3\xa9 \xff<|endoftext|>")) {
      require(token >= 0 && token < tokenizer->vocab_size(), "a token is in the vocabulary");
      tokenizer->bytes_of(token);
    }
    for (const auto& end : {tokenizer->begin_of_text(), tokenizer->end_of_text()}) {
      require(!end || (*end >= 0 && *end < tokenizer->vocab_size()), "what begins or ends a text is in the vocabulary");
    }
  });
}

// The bytes tokenizer's file, which has every part; a few letters and a merge, with added tokens.
std::vector<Bytes> tokenizer_seeds() {
  using nlohmann::json;
  json small = {
      {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}, {"<u>", 3}}}, {"merges", {"a b"}}, {"unk_token", "<u>"}}},
      {"added_tokens", {{{"id", 4}, {"content", "<|endoftext|>"}, {"special", true}}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", " ?\\p{L}+|\\s+(?!\\S)"}}}, {"behavior", "Isolated"}},
          {{"type", "Digits"}, {"individual_digits", true}},
          {{"type", "ByteLevel"}, {"use_regex", false}, {"add_prefix_space", true}}}}}},
      {"post_processor", {{"single", {{{"SpecialToken", {{"id", "<|endoftext|>"}}}}}}}}};
  return {of_text(make_tokenizer("byte")->files().front().content), of_text(small.dump())};
}

// The first byte says of which kind, the next eight how long the file of tokens is.
void run_header(ConstBytes input) {
  if (input.size() < 9) return;
  const auto file_bytes = load_le<uint64_t>(input.data() + 1) >> 1;
  const ConstBytes head = input.subspan(9);
  use_or_refuse([&] {
    const bool is_index = (input[0] & std::byte{1}) != std::byte{0};
    if (!is_index && file_bytes < head.size()) return;
    const TokenLayout layout = is_index ? parse_megatron_index(head, file_bytes, kSource) : parse_llmc_header(head, file_bytes, kSource);
    require(layout.width == 1 || layout.width == 2 || layout.width == 4, "a width that tokens have");
    require(layout.offset <= file_bytes && layout.count == (file_bytes - layout.offset) / layout.width, "the tokens fill the file");
  });
}

template <class... T>
Bytes header(uint8_t kind, uint64_t file_bytes, T... values) {
  std::string text(1, static_cast<char>(kind));
  const auto append = [&](auto value) { text.append(reinterpret_cast<const char*>(&value), sizeof value); };
  append(file_bytes << 1);
  (append(values), ...);
  if (kind == 0) text.resize(9 + 1024);
  return of_text(text);
}

std::vector<Bytes> header_seeds() {
  Bytes index = header(1, 10);
  const std::string magic("MMIDIDX\0\0", 9);
  const Bytes rest =
      header(1, 0, uint64_t{1}, uint8_t{8}, uint64_t{2}, uint64_t{1}, int32_t{2}, int32_t{3}, int64_t{0}, int64_t{4}, int64_t{0});
  const Bytes name = of_text(magic);
  index.insert(index.end(), name.begin(), name.end());
  index.insert(index.end(), rest.begin() + 9, rest.end());
  return {header(0, 1030, int32_t{20240520}, int32_t{1}, int32_t{3}), header(0, 1032, int32_t{20240801}, int32_t{7}, int32_t{2}), index};
}

}  // namespace

Target tokenizer_target() { return {"tokenizer-json", run_tokenizer, tokenizer_seeds}; }
Target token_header_target() { return {"token-header", run_header, header_seeds}; }

}  // namespace thinwire::fuzz
