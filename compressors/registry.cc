#include "compressors/registry.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "compressors/cast/bf16.h"
#include "compressors/cast/fp16.h"
#include "compressors/cast/none.h"
#include "compressors/lowrank/powersgd.h"
#include "compressors/maker.h"
#include "compressors/quantize/quantize.h"
#include "compressors/randomk/randomk.h"
#include "compressors/sign/sign.h"
#include "compressors/skeleton/skeleton.h"
#include "compressors/sparseloco/sparseloco.h"
#include "compressors/topk/topk.h"
#include "config/load.h"

namespace thinwire::compressors {
namespace {

constexpr std::string_view kTemplate = "skeleton";  // compiled and tested, but nothing that a run should use

}  // namespace

std::span<const CodecEntry> codec_registry() {
  static const std::array entries{
      CodecEntry{"none", "fp32 as it is, 4 bytes an element", new_maker<PlainMaker<NoneCodec>>},
      CodecEntry{"bf16", "rounded to bfloat16, 2 bytes an element", new_maker<PlainMaker<Bf16Codec>>},
      CodecEntry{"fp16", "rounded to fp16 under a shared exponent, 2 bytes an element", new_maker<PlainMaker<Fp16Codec>>},
      CodecEntry{"quantize", "1 to 8 bits an element, between the ends of its bucket or up to its norm",
                 new_maker<OptionsMaker<QuantizeCodec, QuantizeOptions>>},
      CodecEntry{"sign", "1 bit an element, and the mean magnitude of its block", new_maker<OptionsMaker<SignCodec, SignOptions>>},
      CodecEntry{"topk", "the largest elements of each chunk or layer, and where they are",
                 new_maker<OptionsMaker<TopkCodec, TopkOptions>>},
      CodecEntry{"sparseloco", "the largest elements of each 64 x 64 block: values in 2 bits, Rice-coded positions",
                 new_maker<OptionsMaker<SparseLocoCodec, SparseLocoOptions>>},
      CodecEntry{"randomk", "a random share of the elements, the same on all ranks: no indices, sums of fp32",
                 new_maker<OptionsMaker<RandomkSketch, RandomkOptions>>},
      CodecEntry{"powersgd", "low-rank factors of a matrix by power steps with a warm start, sums of fp32",
                 new_maker<OptionsMaker<PowersgdSketch, PowersgdOptions>>},
      CodecEntry{kTemplate, "the template for new codecs: fp32 as it is, gathered", new_maker<PlainMaker<SkeletonCodec>>},
  };
  return entries;
}

std::vector<std::string> codec_names() {
  std::vector<std::string> names;
  for (const CodecEntry& entry : codec_registry()) {
    if (entry.name != kTemplate) names.emplace_back(entry.name);
  }
  return names;
}

CodecChoice::CodecChoice() {
  for (const CodecEntry& entry : codec_registry()) {
    if (entry.name != kTemplate) makers.emplace(entry.name, entry.maker());
  }
}

std::shared_ptr<const Compressor> CodecChoice::make() const {
  const auto found = makers.find(codec);
  check(found != makers.end(), "a chosen codec is in the registry: the config was validated");
  return found->second->make();
}

std::unique_ptr<CodecMaker> CodecChoice::maker(const std::string& name, const std::vector<std::string>& options) const {
  const auto configured = makers.find(name);
  if (configured == makers.end()) throw ConfigError("no codec '" + name + "'" + did_you_mean(name, codec_names()));
  const auto entry = std::ranges::find(codec_registry(), std::string_view(name), &CodecEntry::name);
  auto made = entry->maker();
  config::Section from, to;
  configured->second->describe_options(from);
  made->describe_options(to);
  config::load(to, {{"the options of " + name, config::print(from)}}, options);
  return made;
}

void describe(config::Section& section, CodecChoice& choice, const std::function<bool()>& takes_all) {
  section.choice("codec", choice.codec, codec_names(), "how tensors become bytes");
  for (const CodecEntry& entry : codec_registry()) {
    const auto maker = choice.makers.find(std::string(entry.name));
    if (maker == choice.makers.end() || !maker->second->has_options()) continue;
    auto options = std::make_shared<config::Section>();
    maker->second->describe_options(*options);
    const std::string name(entry.name);
    section.add_section(name, std::move(options), {}, std::string(entry.summary));
    section.only({name}, {"codec", {name}, takes_all});
  }
}

}  // namespace thinwire::compressors
