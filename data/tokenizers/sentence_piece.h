// SentencePiece models (Kudo and Richardson, arXiv 1808.06226), through Google's library.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace thinwire::data {

// `files`: tokenizer.model first, then what Hugging Face has beside it. A text is normalised as the model says, so it does not come back
// byte for byte; bytes_of() counts those of the normalised one. DataError that begins with `source` when the model is damaged.
std::unique_ptr<Tokenizer> make_sentence_piece_tokenizer(std::vector<TokenizerFile> files, const std::string& source);

}  // namespace thinwire::data
