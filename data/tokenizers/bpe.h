// Byte-level BPE as Hugging Face's tokenizer.json describes it: GPT-2, Llama 3, Qwen without its normaliser, and what their libraries
// train.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace thinwire::data {

// A text is cut at the added tokens that it contains, then into pieces by pre_tokenizer (Split by a pattern, Digits, ByteLevel); within a
// piece the pair of neighbours whose merge comes first in the list becomes one token, the leftmost first, until no pair is in it (Sennrich
// et al., arXiv 1508.07909). post_processor says whether a token begins a text.
//
// `files`: tokenizer.json, and tokenizer_config.json where there is one, whose eos_token ends a text; without it "<|endoftext|>",
// "<|end_of_text|>" or "</s>" does, the first that there is. DataError that begins with `source` when they are damaged, or ask for
// something else: a normaliser, another model than BPE, words in place of bytes, tokens that take the spaces around them.
std::unique_ptr<Tokenizer> make_bpe_tokenizer(std::vector<TokenizerFile> files, const std::string& source);

}  // namespace thinwire::data
