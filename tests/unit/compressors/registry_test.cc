#include "compressors/registry.h"

#include <gtest/gtest.h>

#include <set>

#include "compressors/topk/topk.h"
#include "config/load.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

TEST(Registry, KeepsIdsForEver) {
  std::map<std::string, uint16_t> ids;
  for (const CodecEntry& entry : codec_registry()) ids.emplace(entry.name, entry.maker()->make()->id());
  EXPECT_EQ(ids.at("none"), 0);
  EXPECT_EQ(ids.at("bf16"), 1);
  EXPECT_EQ(ids.at("fp16"), 2);
  EXPECT_EQ(ids.at("quantize"), 3);
  EXPECT_EQ(ids.at("sign"), 4);
  EXPECT_EQ(ids.at("topk"), 5);
  EXPECT_EQ(ids.at("sparseloco"), 8);
  EXPECT_EQ(ids.at("randomk"), 6);
  EXPECT_EQ(ids.at("powersgd"), 7);
  EXPECT_EQ(ids.at("skeleton"), 65535);
}

TEST(Registry, HasEachNameAndIdOnceAndASummary) {
  std::set<std::string_view> names;
  std::set<uint16_t> ids;
  for (const CodecEntry& entry : codec_registry()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_TRUE(ids.insert(entry.maker()->make()->id()).second) << entry.name;
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
  }
}

TEST(Registry, OffersAllButTheTemplate) {
  EXPECT_EQ(codec_names(),
            (std::vector<std::string>{"none", "bf16", "fp16", "quantize", "sign", "topk", "sparseloco", "randomk", "powersgd"}));
}

struct Compress {
  CodecChoice choice;
};
void describe(config::Section& section, Compress& compress) { describe(section, compress.choice); }

std::string refusal(const std::string& yaml) {
  Compress compress;
  auto root = config::describe_root(compress);
  try {
    config::load(root, {{"run.yaml", yaml}}, {});
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(CodecChoice, IsNoneByDefault) { EXPECT_EQ(CodecChoice().make()->name(), "none"); }

TEST(CodecChoice, TakesTheOptionsOfTheChosenCodec) {
  Compress compress;
  auto root = config::describe_root(compress);
  config::load(root, {{"run.yaml", "codec: topk\ntopk: {density: 25%, chunk: 64, values: fp16, index_coding: packed12}\n"}}, {});
  const auto codec = compress.choice.make();
  EXPECT_EQ(codec->name(), "topk");
  EXPECT_EQ(codec->traits(testing::layer_of(64)).exact_bytes, 1u + 2 * 16 + 24);
}

TEST(CodecChoice, ValidatesTheOptionsOfCodecsThatAreNotChosen) {
  EXPECT_EQ(refusal("codec: bf16\ntopk: {density: 5%}\n"), "accepted");
  EXPECT_NE(refusal("codec: bf16\ntopk: {chunk: 4097}\n").find("chunk"), std::string::npos);
}

TEST(CodecChoice, RefusesWhatNoCodecHonours) {
  EXPECT_NE(refusal("codec: topkk\n").find("topk"), std::string::npos);
  EXPECT_NE(refusal("codec: skeleton\n").find("skeleton"), std::string::npos);
  EXPECT_NE(refusal("randomk: {density: 0}\n").find("above 0"), std::string::npos);
  EXPECT_NE(refusal("powersgd: {rank: 0}\n").find("rank"), std::string::npos);
  EXPECT_NE(refusal("powersgd: {rank: 1025}\n").find("rank"), std::string::npos);
  EXPECT_NE(refusal("powersgd: {min_compression: -1}\n").find("min_compression"), std::string::npos);
  EXPECT_NE(refusal("topk: {density: 0}\n").find("above 0"), std::string::npos);
  EXPECT_NE(refusal("topk: {density: 101%}\n").find("density"), std::string::npos);
  EXPECT_NE(refusal("topk: {chunk: 1}\n").find("chunk"), std::string::npos);
  EXPECT_NE(refusal("quantize: {bits: 9}\n").find("bits"), std::string::npos);
  EXPECT_NE(refusal("quantize: {bits: 1, scheme: qsgd}\n").find("at least 2"), std::string::npos);
  EXPECT_NE(refusal("quantize: {bucket: 100}\n").find("multiple of 8"), std::string::npos);
  EXPECT_NE(refusal("sign: {block: 9}\n").find("multiple of 8"), std::string::npos);
  EXPECT_NE(refusal("topk: {values: int4}\n").find("fp16"), std::string::npos);
  EXPECT_NE(refusal("sparseloco: {k: 4097}\n").find("k"), std::string::npos);
  EXPECT_NE(refusal("sparseloco: {bits: 1}\n").find("bits"), std::string::npos);
  EXPECT_NE(refusal("sparseloco: {vectors: 64}\n").find("divisor"), std::string::npos);
  EXPECT_NE(refusal("sparseloco: {entropy: zstd}\n").find("rans"), std::string::npos);
  EXPECT_NE(refusal("topk: {index_coding: packed16}\n").find("packed12"), std::string::npos);
}

TEST(CodecChoice, PrintsAConfigThatGivesTheSameCodec) {
  Compress compress;
  auto root = config::describe_root(compress);
  config::load(root, {{"run.yaml", "codec: topk\ntopk: {density: 1.5625%, chunk: 512}\n"}}, {});
  Compress again;
  auto again_root = config::describe_root(again);
  config::load(again_root, {{"printed", config::print(root)}}, {});
  EXPECT_EQ(config::flatten(again_root), config::flatten(root));
  EXPECT_EQ(config::flatten(again_root).at("topk.chunk"), "512");
}

}  // namespace
}  // namespace thinwire::compressors
