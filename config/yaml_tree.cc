#include "config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace thinwire::config {

namespace {
YamlError error_at(const YAML::Mark& mark, const std::string& message) {
  return mark.is_null() ? YamlError(message, 0, 0) : YamlError(message, mark.line + 1, mark.column + 1);
}

// Grows the tree from the parser's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  std::shared_ptr<const Yaml> root = std::make_shared<Yaml>();

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) throw error_at(mark, "a second document begins here; a config is one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(Yaml::Kind::null, mark, anchor, ""); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, const std::string& text) override {
    leaf(Yaml::Kind::scalar, mark, anchor, text);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (anchor >= anchored_.size() || !anchored_[anchor]) throw error_at(mark, "an alias stands inside the node that it names");
    attach(anchored_[anchor], mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(Yaml::Kind::list, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(Yaml::Kind::map, mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<Yaml> node;
    YAML::anchor_t anchor;
    YAML::Mark mark;
    std::shared_ptr<const Yaml> key;  // waits for its value
  };

  static std::shared_ptr<Yaml> make(Yaml::Kind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<Yaml>();
    node->kind = kind;
    node->line = mark.line + 1;
    node->column = mark.column + 1;
    return node;
  }
  void leaf(Yaml::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& text) {
    auto node = make(kind, mark);
    node->text = text;
    finish(std::move(node), anchor, mark);
  }
  void open(Yaml::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    open_.push_back({make(kind, mark), anchor, mark, nullptr});
    if (open_.size() > kMaxYamlHeight) throw too_high(mark);
  }
  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    finish(std::move(done.node), done.anchor, done.mark);
  }
  void finish(std::shared_ptr<const Yaml> node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (anchor != 0) {
      if (anchor >= anchored_.size()) anchored_.resize(anchor + 1);
      anchored_[anchor] = node;
    }
    attach(std::move(node), mark);
  }
  void attach(std::shared_ptr<const Yaml> node, const YAML::Mark& mark) {
    if (open_.empty()) {
      root = std::move(node);
      return;
    }
    Open& parent = open_.back();
    parent.node->height = std::max(parent.node->height, node->height + 1);
    if (parent.node->height > kMaxYamlHeight) throw too_high(mark);  // aliases pile up without nesting in the text
    if (parent.node->kind == Yaml::Kind::list) {
      parent.node->items.push_back(std::move(node));
    } else if (!parent.key) {
      parent.key = std::move(node);
    } else {
      parent.node->entries.emplace_back(std::exchange(parent.key, nullptr), std::move(node));
    }
  }
  static YamlError too_high(const YAML::Mark& mark) { return error_at(mark, fmt::format("nested deeper than {} levels", kMaxYamlHeight)); }

  std::vector<Open> open_;
  std::vector<std::shared_ptr<const Yaml>> anchored_;
  int num_documents_ = 0;
};

// Bytes of the UTF-8 character at the front, 0 when there is none (or one that a text file does not hold).
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 || first == '\n' || first == '\r' || first == '\t' ? 1 : 0;
  const size_t length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || beyond ? 0 : length;
}

// The parser would take a byte 4 for the end of the file and replace broken UTF-8 in silence.
void check_is_text(std::string_view text) {
  int line = 1, column = 1;
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_bytes(text.substr(at));
    if (length == 0) {
      const auto byte = static_cast<unsigned char>(text[at]);
      throw YamlError(fmt::format("byte 0x{:02x} does not belong in a text file (UTF-8)", byte), line, column);
    }
    ++column;
    if (text[at] == '\n') ++line, column = 1;
    at += length;
  }
}
}  // namespace

std::shared_ptr<const Yaml> parse_yaml(const std::string& text) {
  check_is_text(text);
  TreeBuilder builder;
  std::istringstream stream(text);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw error_at(error.mark, "not valid YAML: " + error.msg);
  }
  return builder.root;
}

}  // namespace thinwire::config
