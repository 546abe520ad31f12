// The two ready-made forms of CodecMaker, for registry.cc: a codec without options, and one with an options struct.
#pragma once
#include <memory>

#include "compressors/entropy/entropy_coded.h"
#include "compressors/registry.h"

namespace thinwire::compressors {

template <class C>
class PlainMaker final : public CodecMaker {
 public:
  void describe_options(config::Section&) override {}
  bool has_options() const override { return false; }
  std::unique_ptr<Compressor> make() const override { return std::make_unique<C>(); }
};

// Options has a describe(config::Section&, Options&) in its namespace, and C is constructed from it. Where the options have an `entropy`
// (entropy_coded.h), C is a Codec, and rANS is put around it if they say so. Beside describe() there may be
//   std::vector<double> squared_errors_of(const Options&, Layer, std::span<const float> a, std::span<const double> values)
// for CodecMaker::squared_errors().
template <class C, class Options>
class OptionsMaker final : public CodecMaker {
 public:
  void describe_options(config::Section& section) override { describe(section, options_); }
  bool has_options() const override { return true; }
  std::unique_ptr<Compressor> make() const override {
    auto compressor = std::make_unique<C>(options_);
    if constexpr (HasEntropy<Options>) {
      if (options_.entropy == "rans") return std::make_unique<EntropyCoded>(std::move(compressor));
    }
    return compressor;
  }
  std::optional<Strength> strength() const override {
    if constexpr (requires { Options::kStrength; }) return Options::kStrength;
    return std::nullopt;
  }
  std::optional<std::vector<double>> squared_errors(Layer layer, std::span<const float> a, std::span<const double> values) const override {
    if constexpr (requires { squared_errors_of(options_, layer, a, values); }) {
      return squared_errors_of(options_, layer, a, values);
    }
    return std::nullopt;
  }

 private:
  Options options_;
};

template <class Maker>
std::unique_ptr<CodecMaker> new_maker() {
  return std::make_unique<Maker>();
}

}  // namespace thinwire::compressors
