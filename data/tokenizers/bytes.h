// The tokenizer that needs no file.
#pragma once
#include <memory>

#include "data/tokenizer.h"

namespace thinwire::data {

std::unique_ptr<Tokenizer> make_byte_tokenizer();

}  // namespace thinwire::data
