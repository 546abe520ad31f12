// What a tokenizer.json of byte-level BPE says, read and checked.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/merges.h"

namespace thinwire::data {

struct BpeSpec {
  struct Token {
    std::string letters;  // as written in the vocabulary; empty: no token has this id
    bool is_there = false;
  };
  std::vector<Token> vocab;  // by id, added tokens too
  Merges merges;
  bool ignore_merges = false;      // a piece that is a token as a whole is that token
  std::optional<int32_t> unknown;  // stands for a byte that the vocabulary lacks
  bool fuse_unknown = false;       // one for several in a row

  struct Added {
    std::string content;
    int32_t id = 0;
    bool special = false;  // marks something; stands for no text
  };
  std::vector<Added> added;

  struct Step {
    std::string pattern;        // matches, and gaps between them, are pieces; empty: nothing is cut
    bool prefix_space = false;  // a piece that does not begin with one gets a space
  };
  std::vector<Step> steps;  // each cuts the pieces of the one before
  std::optional<int32_t> begin;
};

// DataError that begins with `source`.
BpeSpec parse_tokenizer_json(std::string_view json, const std::string& source);

// The content of tokenizer_config.json's eos_token, where it has one. DataError that begins with `source` when it is no JSON.
std::optional<std::string> parse_end_token(std::string_view json, const std::string& source);

}  // namespace thinwire::data
