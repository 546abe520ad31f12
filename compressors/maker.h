// The two ready-made forms of CodecMaker, for registry.cc: a codec without options, and one with an options struct.
#pragma once
#include <memory>

#include "compressors/registry.h"

namespace thinwire::compressors {

template <class C>
class PlainMaker final : public CodecMaker {
 public:
  void describe_options(config::Section&) override {}
  bool has_options() const override { return false; }
  std::unique_ptr<Codec> make() const override { return std::make_unique<C>(); }
};

// Options has a describe(config::Section&, Options&) in its namespace, and C is constructed from it.
template <class C, class Options>
class OptionsMaker final : public CodecMaker {
 public:
  void describe_options(config::Section& section) override { describe(section, options_); }
  bool has_options() const override { return true; }
  std::unique_ptr<Codec> make() const override { return std::make_unique<C>(options_); }

 private:
  Options options_;
};

template <class Maker>
std::unique_ptr<CodecMaker> new_maker() {
  return std::make_unique<Maker>();
}

}  // namespace thinwire::compressors
