// Which codecs there are. A codec is one folder, one line in registry.cc and one line in CMakeLists.txt.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compressors/codec.h"
#include "config/section.h"

namespace thinwire::compressors {

// A codec with its options still open.
class CodecMaker {
 public:
  virtual ~CodecMaker() = default;
  virtual void describe_options(config::Section& section) = 0;  // adds nothing for a codec without options
  virtual bool has_options() const = 0;
  virtual std::unique_ptr<Codec> make() const = 0;
};

struct CodecEntry {
  std::string_view name;
  std::string_view summary;  // one line, for `--help` and docs
  std::unique_ptr<CodecMaker> (*maker)();
};
std::span<const CodecEntry> codec_registry();
std::vector<std::string> codec_names();  // what a config may select, in registry order; `skeleton` is in the registry but not here

// The part of a config that chooses a codec: `codec: topk`, and beside it a section for each codec that has options. The options of
// codecs that are not selected are validated and otherwise unused. Copies of a choice share its makers, and so their options.
//
//   describe(config::Section&, CodecChoice&) adds these keys to the section it is given, without a section of its own.
struct CodecChoice {
  CodecChoice();
  std::string codec = "none";
  std::map<std::string, std::shared_ptr<CodecMaker>> makers;  // by name
  std::shared_ptr<const Codec> make() const;                  // the selected codec under its options
};
void describe(config::Section& section, CodecChoice& choice);

}  // namespace thinwire::compressors
