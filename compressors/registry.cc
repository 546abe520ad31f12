#include "compressors/registry.h"

#include <array>

#include "base/check.h"
#include "compressors/cast/bf16.h"
#include "compressors/cast/none.h"
#include "compressors/maker.h"
#include "compressors/skeleton/skeleton.h"
#include "compressors/topk/topk.h"

namespace thinwire::compressors {
namespace {

constexpr std::string_view kTemplate = "skeleton";  // compiled and tested, but nothing that a run should use

}  // namespace

std::span<const CodecEntry> codec_registry() {
  static const std::array entries{
      CodecEntry{"none", "fp32 as it is, 4 bytes an element", new_maker<PlainMaker<NoneCodec>>},
      CodecEntry{"bf16", "rounded to bfloat16, 2 bytes an element", new_maker<PlainMaker<Bf16Codec>>},
      CodecEntry{"topk", "the largest elements of each chunk: fp16 values and 12-bit indices",
                 new_maker<OptionsMaker<TopkCodec, TopkOptions>>},
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

std::shared_ptr<const Codec> CodecChoice::make() const {
  const auto found = makers.find(codec);
  check(found != makers.end(), "a chosen codec is in the registry: the config was validated");
  return found->second->make();
}

void describe(config::Section& section, CodecChoice& choice) {
  section.choice("codec", choice.codec, codec_names(), "how tensors become bytes");
  for (const CodecEntry& entry : codec_registry()) {
    const auto maker = choice.makers.find(std::string(entry.name));
    if (maker == choice.makers.end() || !maker->second->has_options()) continue;
    auto options = std::make_shared<config::Section>();
    maker->second->describe_options(*options);
    section.add_section(std::string(entry.name), std::move(options), {}, std::string(entry.summary));
  }
}

}  // namespace thinwire::compressors
