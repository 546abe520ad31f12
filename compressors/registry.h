// Which compressors there are. One is one folder, one line in registry.cc and one line in CMakeLists.txt.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compressors/compressor.h"
#include "compressors/strength.h"
#include "config/section.h"

namespace thinwire::compressors {

// A codec with its options still open.
class CodecMaker {
 public:
  virtual ~CodecMaker() = default;
  virtual void describe_options(config::Section& section) = 0;  // adds nothing for a codec without options
  virtual bool has_options() const = 0;
  virtual std::unique_ptr<Compressor> make() const = 0;  // a Codec or a Sketch
  virtual std::optional<Strength> strength() const { return {}; }

  // |a - decoded|^2 for each of these values of the option that sets the codec's strength (compressors/plan/candidates.h), the others as
  // they are, where there is a faster way than to compress once for each; else nothing.
  virtual std::optional<std::vector<double>> squared_errors(Layer, std::span<const float>, std::span<const double>) const { return {}; }
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
//   describe(config::Section&, CodecChoice&) adds these keys to the section it is given, without a section of its own. `takes_all`:
//   whether options of codecs that are not selected count too, as in a plan that mixes codecs.
struct CodecChoice {
  CodecChoice();
  std::string codec = "none";
  std::map<std::string, std::shared_ptr<CodecMaker>> makers;  // by name
  std::shared_ptr<const Compressor> make() const;             // the selected one under its options
  // A new maker of any codec that a config may select, under this choice's options for it and then these ("density=1%"). ConfigError for
  // an unknown name or a bad option.
  std::unique_ptr<CodecMaker> maker(const std::string& name, const std::vector<std::string>& options) const;
};
void describe(config::Section& section, CodecChoice& choice, const std::function<bool()>& takes_all = {});

}  // namespace thinwire::compressors
