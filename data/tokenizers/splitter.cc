#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizers/splitter.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"

namespace thinwire::data {

const char* const kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

constexpr uint32_t kMostMatchSteps = 20'000'000, kMostHeapKib = 1 << 20;

// A match is looked for within so many bytes at first, as PCRE may go through all that it is given, and a text has many matches. One that
// comes this close to the end of them is looked for again within more: what follows might change it.
constexpr size_t kWindowBytes = 1 << 14, kMarginBytes = 16;

// Unicode's White_Space. PCRE's own \s has U+180E too, which is none since Unicode 6.3.
constexpr const char* kSpaces = R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// \s and \S spelt out; the latter is left as it is within brackets, where it has no such spelling.
std::string with_unicode_spaces(const std::string& pattern) {
  std::string spelt;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        spelt += in_class ? kSpaces : fmt::format("[{}]", kSpaces);
      } else if (escaped == 'S' && !in_class) {
        spelt += fmt::format("[^{}]", kSpaces);
      } else {
        spelt += {c, escaped};
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
    } else if (c == ']' && in_class) {
      in_class = false;
    }
    spelt += c;
  }
  return spelt;
}

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

Splitter::Splitter(const std::string& pattern, const std::string& source) : source_(source) {
  const std::string spelt = with_unicode_spaces(pattern);
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelt.data()), spelt.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (code == nullptr) throw DataError(fmt::format("{}: the pattern {} cannot be used: {}", source, pattern, message_of(error)));
  code_ = std::shared_ptr<const void>(code, [](const void* c) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(c))); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it cannot, matching is slower
}

void Splitter::split(std::string_view text, const std::function<void(std::string_view)>& on_piece) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create_from_pattern(code, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  check(match != nullptr && context != nullptr, "there is memory for a match");
  pcre2_set_match_limit(context.get(), kMostMatchSteps);
  pcre2_set_heap_limit(context.get(), kMostHeapKib);
  const PCRE2_SIZE* place = pcre2_get_ovector_pointer(match.get());
  size_t done = 0;  // up to where pieces have been handed out
  for (size_t from = 0, window = kWindowBytes; from < text.size();) {
    const size_t seen = std::min(text.size() - from, window) + from;
    const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), seen, from, 0, match.get(), context.get());
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
      throw DataError(fmt::format("{}: its pattern fails at byte {} of a text: {}", source_, from, message_of(found)));
    }
    if (seen < text.size() && (found == PCRE2_ERROR_NOMATCH || place[1] + kMarginBytes > seen)) {
      window *= 2;
      continue;
    }
    if (found == PCRE2_ERROR_NOMATCH) break;
    window = kWindowBytes;
    const size_t begin = place[0], end = place[1];
    if (begin < done || end <= begin) {  // of nothing: it cuts nothing, go on behind the next byte
      from = std::max(end, from) + 1;
      continue;
    }
    if (begin > done) on_piece(text.substr(done, begin - done));
    on_piece(text.substr(begin, end - begin));
    done = from = end;
  }
  if (done < text.size()) on_piece(text.substr(done));
}

}  // namespace thinwire::data
