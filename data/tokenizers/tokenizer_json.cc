#include "data/tokenizers/tokenizer_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "data/tokenizers/splitter.h"

namespace thinwire::data {

namespace {

using nlohmann::json;

constexpr uint64_t kMostTokens = 1 << 24;
constexpr int kMostDepth = 16;
constexpr size_t kMostShown = 120;

[[noreturn]] void refuse(const std::string& source, const std::string& defect) {
  throw DataError(fmt::format("'{}' is no tokenizer that can be used: {}", source, defect));
}

// Foreign text, fit for a message.
std::string shown(const json& value) {
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= kMostShown ? text : text.substr(0, kMostShown) + "...";
}

json parse(std::string_view text, const std::string& source) {
  try {
    return json::parse(text, [&](int depth, json::parse_event_t, json&) {
      if (depth > kMostDepth) refuse(source, fmt::format("its JSON is nested deeper than {} levels", kMostDepth));
      return true;
    });
  } catch (const json::parse_error& e) {
    refuse(source, fmt::format("it is not valid JSON at byte {}", e.byte));
  } catch (const json::exception&) {
    refuse(source, "it is not valid JSON: a number is out of range");
  }
}

const json* find(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const json& object, const char* key, const std::string& source, const std::string& where) {
  const json* value = find(object, key);
  if (value == nullptr || !value->is_string()) refuse(source, fmt::format("{} has no '{}'", where, key));
  return value->get<std::string>();
}

bool flag_of(const json& object, const char* key, bool fallback) {
  const json* value = find(object, key);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : fallback;
}

std::optional<int32_t> id_of(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= kMostTokens) return std::nullopt;
  return value.get<int32_t>();
}

class Parser {
 public:
  Parser(const json& root, const std::string& source) : root_(root), source_(source) {}

  BpeSpec parse() {
    if (!root_.is_object()) refuse(source_, "it is not a JSON object");
    if (const json* normalizer = find(root_, "normalizer")) {
      refuse(source_, fmt::format("its normalizer {} is not built; a SentencePiece tokenizer.model says the same where a folder has one",
                                  shown(*normalizer)));
    }
    const json* model = find(root_, "model");
    if (model == nullptr) refuse(source_, "it has no 'model'");
    require_byte_level_bpe(*model);
    read_vocab(*model);
    read_merges(*model);
    read_added();
    if (const json* steps = find(root_, "pre_tokenizer")) read_steps(*steps);
    if (!is_byte_level_) refuse(source_, "no ByteLevel is among its pre_tokenizer: only byte-level BPE is built");
    if (const json* processor = find(root_, "post_processor")) read_processor(*processor);
    return std::move(spec_);
  }

 private:
  void require_byte_level_bpe(const json& model) {
    if (const json* type = find(model, "type"); type != nullptr && *type != "BPE") {
      refuse(source_, fmt::format("its model is of type {}, and only BPE is built", shown(*type)));
    }
    for (const char* key : {"byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const json* value = find(model, key);
      if (value != nullptr && *value != false && *value != "" && *value != 0.0) {
        refuse(source_, fmt::format("model.{} is {}, which is not built{}", key, shown(*value),
                                    std::string_view(key) == "byte_fallback" ? "; a SentencePiece tokenizer.model says the same" : ""));
      }
    }
    spec_.ignore_merges = flag_of(model, "ignore_merges", false);
    spec_.fuse_unknown = flag_of(model, "fuse_unk", false);
  }

  // One id may have one name, and the other way round.
  void name(int32_t id, const std::string& letters, const std::string& where) {
    if (spec_.vocab.size() <= static_cast<size_t>(id)) spec_.vocab.resize(static_cast<size_t>(id) + 1);
    BpeSpec::Token& token = spec_.vocab[static_cast<size_t>(id)];
    if (token.is_there && token.letters != letters) {
      refuse(source_, fmt::format("{}: {} and {} have the same id {}", where, shown(token.letters), shown(letters), id));
    }
    token = {letters, true};
    const auto [known, is_new] = ids_.emplace(letters, id);
    if (!is_new && known->second != id)
      refuse(source_, fmt::format("{}: {} has the ids {} and {}", where, shown(letters), known->second, id));
  }

  void read_vocab(const json& model) {
    const json* vocab = find(model, "vocab");
    if (vocab == nullptr || !vocab->is_object() || vocab->empty()) refuse(source_, "model.vocab is not an object with tokens in it");
    const size_t most =
        std::min<uint64_t>(kMostTokens, 16 * vocab->size() + 65536);  // ids may have holes, but a small file makes no large table
    for (const auto& [letters, value] : vocab->items()) {
      const auto id = id_of(value);
      if (!id || static_cast<size_t>(*id) >= most) {
        refuse(source_, fmt::format("model.vocab: the id of {} is {}, where {} tokens should have ids below {}", shown(letters),
                                    shown(value), vocab->size(), most));
      }
      name(*id, letters, "model.vocab");
    }
    if (const json* unknown = find(model, "unk_token")) {
      const auto found = unknown->is_string() ? ids_.find(unknown->get<std::string>()) : ids_.end();
      if (found == ids_.end()) refuse(source_, fmt::format("model.unk_token {} is not in the vocabulary", shown(*unknown)));
      spec_.unknown = found->second;
    }
  }

  int32_t known(const std::string& letters, size_t merge) const {
    const auto found = ids_.find(letters);
    if (found == ids_.end()) refuse(source_, fmt::format("model.merges, number {}: {} is not in the vocabulary", merge, shown(letters)));
    return found->second;
  }

  // "a b", or since tokenizers 0.20 ["a", "b"].
  void read_merges(const json& model) {
    const json* merges = find(model, "merges");
    if (merges == nullptr || !merges->is_array()) refuse(source_, "model.merges is not a list");
    for (size_t i = 0; i < merges->size(); ++i) {
      const json& merge = (*merges)[i];
      std::string left, right;
      if (merge.is_string()) {
        const std::string text = merge.get<std::string>();
        const size_t space = text.find(' ');
        if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
          left = text.substr(0, space);
          right = text.substr(space + 1);
        }
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      }
      if (left.empty() || right.empty()) refuse(source_, fmt::format("model.merges, number {}: {} is no pair of tokens", i, shown(merge)));
      spec_.merges.add(known(left, i), known(right, i), known(left + right, i));
    }
  }

  void read_added() {
    const json* added = find(root_, "added_tokens");
    if (added == nullptr) return;
    if (!added->is_array()) refuse(source_, "added_tokens is not a list");
    for (const json& token : *added) {
      const json* id = find(token, "id");
      const int32_t value = id == nullptr ? -1 : id_of(*id).value_or(-1);
      const std::string content = text_of(token, "content", source_, "a token of added_tokens");
      if (value < 0 || static_cast<size_t>(value) > spec_.vocab.size() + 65536 || content.empty()) {
        refuse(source_, fmt::format("added_tokens: {} has no id or no text that makes sense", shown(token)));
      }
      for (const char* key : {"lstrip", "rstrip", "single_word"}) {
        if (flag_of(token, key, false)) refuse(source_, fmt::format("added_tokens: {} of {} is not built", key, shown(content)));
      }
      name(value, content, "added_tokens");
      spec_.added.push_back({content, value, flag_of(token, "special", false)});
    }
  }

  void read_steps(const json& step) {
    const std::string type = text_of(step, "type", source_, "a pre_tokenizer");
    if (type == "Sequence") {
      const json* steps = find(step, "pretokenizers");
      if (steps == nullptr || !steps->is_array()) refuse(source_, "a Sequence of pre_tokenizer has no list 'pretokenizers'");
      for (const json& one : *steps) read_steps(one);
    } else if (type == "Split") {
      read_split(step);
    } else if (type == "Digits") {
      spec_.steps.push_back({flag_of(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+"});
    } else if (type == "ByteLevel") {
      is_byte_level_ = true;
      spec_.steps.push_back({flag_of(step, "use_regex", true) ? kGpt2Pattern : "", flag_of(step, "add_prefix_space", true)});
    } else {
      refuse(source_, fmt::format("pre_tokenizer {} is not built; Split, Digits and ByteLevel are", type));
    }
  }

  void read_split(const json& step) {
    const json* pattern = find(step, "pattern");
    const json* regex = pattern == nullptr ? nullptr : find(*pattern, "Regex");
    const json* literal = pattern == nullptr ? nullptr : find(*pattern, "String");
    const std::string behavior = text_of(step, "behavior", source_, "a Split of pre_tokenizer");
    const bool keeps_all = behavior == "Isolated" || (behavior == "Removed" && flag_of(step, "invert", false));
    if (!keeps_all) refuse(source_, fmt::format("a Split of pre_tokenizer with behavior {} is not built; Isolated is", behavior));
    if (regex != nullptr && regex->is_string()) {
      spec_.steps.push_back({regex->get<std::string>()});
    } else if (literal != nullptr && literal->is_string() && literal->get<std::string>().find("\\E") == std::string::npos) {
      spec_.steps.push_back({"\\Q" + literal->get<std::string>() + "\\E"});
    } else {
      refuse(source_, "a Split of pre_tokenizer has no pattern");
    }
  }

  // Only whether something is put in front of a text.
  void read_processor(const json& processor) {
    if (const json* all = find(processor, "processors"); all != nullptr && all->is_array()) {
      for (const json& one : *all) read_processor(one);
    }
    const json* single = find(processor, "single");
    if (single == nullptr || !single->is_array() || single->empty()) return;
    const json* special = find(single->front(), "SpecialToken");
    if (special == nullptr) return;
    const std::string token = text_of(*special, "id", source_, "a SpecialToken of post_processor");
    const auto found = ids_.find(token);
    if (found == ids_.end()) refuse(source_, fmt::format("post_processor: {} is not in the vocabulary", shown(token)));
    spec_.begin = found->second;
  }

  const json& root_;
  const std::string& source_;
  BpeSpec spec_;
  std::unordered_map<std::string, int32_t> ids_;
  bool is_byte_level_ = false;
};

}  // namespace

BpeSpec parse_tokenizer_json(std::string_view text, const std::string& source) { return Parser(parse(text, source), source).parse(); }

std::optional<std::string> parse_end_token(std::string_view text, const std::string& source) {
  const json root = parse(text, source);
  const json* token = find(root, "eos_token");
  if (token != nullptr && token->is_object()) token = find(*token, "content");
  if (token == nullptr || !token->is_string()) return std::nullopt;
  return token->get<std::string>();
}

}  // namespace thinwire::data
