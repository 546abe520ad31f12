// Files of token ids that other programs wrote, mapped into memory.
//
//   llm.c .bin      256 int32: magic 20240520, version 1, number of tokens; then uint16 tokens. Or magic 20240801, version 7; then uint32
//   Megatron        NAME.bin is nothing but tokens, NAME.idx says of which type and where each sequence lies
//   nanoGPT .bin    nothing but tokens: the format (uint16, uint32) has to be said
//
// What is read is distrusted: magic, version and counts are held against the file's size before anything is used.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "data/tokens.h"

namespace thinwire::data {

struct TokenFiles {
  Tokens tokens;  // of all files, in byte order of their paths
  std::string description;
};
// `format`: auto, uint16 or uint32 (data/options.h). DataError names the file, what is wrong, expected and found, and the fix.
TokenFiles read_token_files(const std::vector<std::string>& patterns, const std::string& format);

// Where the tokens lie in a file of `file_bytes` that begins with `head` (its first 1024 bytes, or all). DataError begins with `source`.
struct TokenLayout {
  uint64_t offset = 0, count = 0;
  size_t width = 2;
};
TokenLayout parse_llmc_header(ConstBytes head, uint64_t file_bytes, const std::string& source);
bool is_llmc(ConstBytes head);

// Of NAME.idx, with its sequences one after another from the first byte of NAME.bin, which has bin_bytes.
TokenLayout parse_megatron_index(ConstBytes index, uint64_t bin_bytes, const std::string& source);

// Writes an llm.c file, of uint16 where vocab_size allows. Error(other) when it cannot be written (base/output.h); DataError when there are
// more than its 2^31 - 1 tokens.
// `listener` is told now and then how many tokens are written.
void write_token_file(const std::filesystem::path& path, const Tokens& tokens, int64_t vocab_size,
                      const std::function<void(size_t done_tokens)>& listener = {});

}  // namespace thinwire::data
