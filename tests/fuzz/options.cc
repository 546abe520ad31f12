#include "options.h"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "compressors/registry.h"
#include "config/section.h"

namespace thinwire::fuzz {
namespace {

// Texts that some kind of option takes; the corners of ranges, and what lies between.
const std::vector<std::string> kTexts{"1",       "2",  "3",     "4",   "5",    "7",    "8",    "15",   "16",   "31",
                                      "32",      "63", "64",    "100", "128",  "1024", "4095", "4096", "100%", "50%",
                                      "1.5625%", "1%", "0.01%", "0",   "0.95", "auto", "true", "false"};

std::vector<std::string> texts_for(const config::Field& field) {
  const std::string prefix = "one of ", bar = " | ";
  if (!field.type.starts_with(prefix)) return kTexts;
  std::vector<std::string> choices;
  for (size_t begin = prefix.size(); begin < field.type.size();) {
    const size_t end = std::min(field.type.find(bar, begin), field.type.size());
    choices.push_back(field.type.substr(begin, end - begin));
    begin = end + bar.size();
  }
  return choices;
}

// Sets the option to the byte's text, or to the next one that it accepts.
void set(const config::Field& field, uint8_t byte) {
  if (byte == 0 || !field.parse) return;
  const std::vector<std::string> texts = texts_for(field);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!field.parse({texts[(byte - 1 + i) % texts.size()]})) return;
  }
}

// False when a rule refuses the result.
bool set_all(const config::Section& section, std::span<const uint8_t>& bytes) {
  for (const config::Field& field : section.fields()) {
    if (field.section != nullptr) {
      if (!set_all(*field.section, bytes)) return false;
    } else if (!bytes.empty()) {
      set(field, bytes.front());
      bytes = bytes.subspan(1);
    }
  }
  return std::ranges::none_of(section.rules(), [](const auto& rule) { return rule.holds().has_value(); });
}

}  // namespace

std::shared_ptr<const compressors::Compressor> make_compressor(std::string_view codec, const OptionBytes& bytes) {
  const auto registry = compressors::codec_registry();
  const auto entry = std::ranges::find(registry, codec, &compressors::CodecEntry::name);
  check(entry != registry.end(), "a fuzzed codec is in the registry");
  const auto maker = entry->maker();
  config::Section section;
  maker->describe_options(section);
  std::span<const uint8_t> left(bytes);
  if (!set_all(section, left)) return nullptr;
  return maker->make();
}

}  // namespace thinwire::fuzz
