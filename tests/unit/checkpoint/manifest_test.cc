#include "checkpoint/manifest.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/layout.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kByHand = R"({
  "format": "thinwire-checkpoint", "version": 2, "writer": "0.1.0", "step": 100, "world": 2, "created": "2026-01-31T12:00:00Z",
  "run": "trial", "config_hash": "0123456789abcdef", "config": {"optim.lr": "0.002"}, "numbers": {"step": 100, "data/next_sample": -5},
  "files": [{"name": "model.safetensors", "bytes": 120, "xxh3": "00000000000000ff"},
            {"name": "rank-00001.safetensors", "bytes": 9, "xxh3": "fedcba9876543210"}],
  "tensors": [{"name": "w", "dtype": "F32", "shape": [2, 3], "scope": "replicated", "files": ["model.safetensors"], "stored_bytes": 20},
              {"name": "r", "dtype": "U8", "shape": [], "scope": "per_rank", "files": ["rank-00001.safetensors"], "stored_bytes": 1}]
})";

std::string with(const std::string& from, const std::string& to) {
  std::string text = kByHand;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Manifest, ReadsOneWrittenByHand) {
  const Manifest manifest = parse_manifest(kByHand, "m");
  EXPECT_EQ(manifest.step, 100);
  EXPECT_EQ(manifest.world, 2);
  EXPECT_EQ(manifest.created, "2026-01-31T12:00:00Z");
  EXPECT_EQ(manifest.facts.run_name, "trial");
  EXPECT_EQ(manifest.facts.version, "0.1.0");
  EXPECT_EQ(manifest.facts.config.at("optim.lr"), "0.002");
  EXPECT_EQ(manifest.numbers.at("data/next_sample"), -5);
  ASSERT_EQ(manifest.files.size(), 2u);
  EXPECT_EQ(manifest.files[1].summary, (FileSummary{9, 0xfedcba9876543210}));
  ASSERT_EQ(manifest.tensors.size(), 2u);
  EXPECT_EQ(manifest.tensors[0].stored_bytes, 20u);
  EXPECT_EQ(manifest.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(manifest.tensors[1].scope, Scope::per_rank);
  EXPECT_EQ(manifest.tensors[1].files, std::vector<std::string>{"rank-00001.safetensors"});
}

// Version 1 stored all tensors as they are, and did not say how large.
TEST(Manifest, OfVersion1TellsSizesByShapes) {
  std::string text = with("\"version\": 2", "\"version\": 1");
  for (const std::string gone : {", \"stored_bytes\": 20", ", \"stored_bytes\": 1"}) text.erase(text.find(gone), gone.size());
  const Manifest manifest = parse_manifest(text, "m");
  EXPECT_EQ(manifest.tensors[0].stored_bytes, 2u * 3 * 4);
  EXPECT_EQ(manifest.tensors[1].stored_bytes, 1u);
  const size_t at = text.find("[2, 3]");
  EXPECT_THAT(error_of([&] { parse_manifest(text.replace(at, 6, "[4294967296, 4294967296]"), "m"); }), HasSubstr("overflows"));
}

TEST(Manifest, WhatIsWrittenReadsBackTheSame) {
  const std::string text = to_json(parse_manifest(kByHand, "m"));
  EXPECT_EQ(to_json(parse_manifest(text, "again")), text);
  EXPECT_THAT(text, AllOf(HasSubstr("\n  \"data/next_sample\": -5,\n"), HasSubstr("\n  {\"name\":\"r\","),
                          HasSubstr("\"scope\":\"per_rank\""), HasSubstr("00000000000000ff")));
}

TEST(Manifest, AConfigValueOfAnyBytesIsKeptReadable) {
  Manifest manifest = parse_manifest(kByHand, "m");
  manifest.facts.config["run.name"] = "caf\xe9";
  EXPECT_THAT(parse_manifest(to_json(manifest), "m").facts.config.at("run.name"), HasSubstr("caf"));
}

TEST(Manifest, ANewerVersionIsRefusedWithBothNumbers) {
  try {
    parse_manifest(with("\"version\": 2", "\"version\": 7"), "m");
    FAIL();
  } catch (const NewerVersion& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("version 7"), HasSubstr("newer than 5")));
  }
}

TEST(Manifest, StatesDistancesOfCentresAndRefusesWhatIsNone) {
  const auto stating = [](const std::string& tolerance) {
    return with("\"stored_bytes\": 20", "\"stored_bytes\": 20, \"tolerance\": " + tolerance);
  };
  const Manifest manifest = parse_manifest(stating(R"({"of": "centre_from_base", "bits": 4, "off_by": 0.25})"), "m");
  EXPECT_EQ(manifest.tensors.front().centres, (extreme::Form{extreme::Kind::differences, 0.25f}));
  EXPECT_EQ(manifest.lossy_how(), "extreme");
  EXPECT_EQ(parse_manifest(to_json(manifest), "m").tensors.front().centres, manifest.tensors.front().centres);
  for (const char* off_by : {"-0.5", "1e39", "3", "\"far\""}) {
    EXPECT_THAT(error_of([&] { parse_manifest(stating(fmt::format(R"({{"of": "centre", "off_by": {}}})", off_by)), "m"); }),
                HasSubstr("'off_by'"));
  }
  EXPECT_THAT(error_of([&] { parse_manifest(stating(R"({"of": "middle", "off_by": 0.5})"), "m"); }), HasSubstr("unknown 'of' 'middle'"));
}

TEST(Manifest, RefusesWhatMakesNoSense) {
  const std::vector<std::array<std::string, 3>> table = {
      {"thinwire-checkpoint", "recipe", "not the manifest"},
      {"\"version\": 2", "\"version\": 0", "'version'"},
      {"\"step\": 100,", "\"step\": -1,", "'step'"},
      {"\"step\": 100,", "\"step\": 1.5,", "'step'"},
      {"\"step\": 100,", "\"step\": 18446744073709551615,", "'step'"},
      {"\"world\": 2", "\"world\": 0", "'world'"},
      {"\"run\": \"trial\"", "\"run\": 3", "'run' should be string, but is number"},
      {"\"run\": \"trial\", ", "", "'run' is missing"},
      {"\"files\": [{", "\"files\": [3, {", "'files'"},
      {"\"name\": \"model.safetensors\"", "\"name\": \"../../passwd\"", "'../../passwd' is no file of a checkpoint"},
      {"rank-00001.safetensors", "rank-00002.safetensors", "no file of a checkpoint of 2 ranks"},
      {"rank-00001.safetensors", "rank-1.safetensors", "no file of a checkpoint"},
      {"\"name\": \"rank-00001.safetensors\"", "\"name\": \"model.safetensors\"", "listed twice"},
      {"\"name\": \"model.safetensors\"", "\"name\": \"rank-00000.safetensors\"", "model.safetensors is not listed"},
      {"00000000000000ff", "00000000000000FF", "'xxh3'"},
      {"\"F32\"", "\"F31\"", "unknown dtype 'F31'"},
      {"[2, 3]", "[2, -3]", "dimension"},
      {"[2, 3]", "[18446744073709551615]", "dimension"},
      {", \"stored_bytes\": 20", "", "'stored_bytes' is missing"},
      {"\"stored_bytes\": 20", "\"stored_bytes\": -20", "'stored_bytes'"},
      {"\"files\": [{\"name\": \"model", R"("base": {"step": 100, "manifest_xxh3": "00000000000000ff"}, "files": [{"name": "model)",
       "'step'"},
      {"\"files\": [{\"name\": \"model", R"("base": {"step": 99, "manifest_xxh3": "ff"}, "files": [{"name": "model)", "'manifest_xxh3'"},
      {"\"files\": [{\"name\": \"model", R"("base": 99, "files": [{"name": "model)", "'base' should be object"},
      {"\"stored_bytes\": 20", R"("stored_bytes": 20, "tolerance": 3)", "'tolerance' should be object"},
      {"\"stored_bytes\": 20", R"("stored_bytes": 20, "tolerance": {"of": "cube", "bits": 8, "block": 256})", "unknown 'of' 'cube'"},
      {"\"stored_bytes\": 20", R"("stored_bytes": 20, "tolerance": {"of": "root", "bits": 6, "block": 256})", "6 bits"},
      {"\"stored_bytes\": 20", R"("stored_bytes": 20, "tolerance": {"of": "root", "bits": 8, "block": 64})", "blocks of 64"},
      {"\"files\": [{\"name\": \"model", R"("lossy_restores": [7], "files": [{"name": "model)", "'lossy_restores'"},
      {"\"files\": [{\"name\": \"model", R"("lossy_restores": [{"step": 5}], "files": [{"name": "model)", "'manifest_xxh3'"},
      {"\"per_rank\"", "\"per_host\"", "unknown scope 'per_host'"},
      {"\"step\": 100, \"world\"", "\"step\": 100, \"step\": 100, \"world\"", "duplicate key 'step'"},
  };
  for (const auto& [from, to, says] : table) {
    SCOPED_TRACE(from + " -> " + to);
    EXPECT_THAT(error_of([&] { parse_manifest(with(from, to), "m.json"); }), AllOf(HasSubstr("m.json"), HasSubstr(says)));
  }
}

TEST(Layout, OnlyOurOwnNamesParse) {
  EXPECT_EQ(step_name(100), "step-00000100");
  EXPECT_EQ(parse_step_name("step-00000100"), 100);
  EXPECT_EQ(parse_step_name(step_name(1234567890123)), 1234567890123);
  for (const char* foreign : {"step-100", "step-000000100", "step-0000010x", "step-00000100-old", "step--0000001", "step-", "step-+0000001",
                              "step-99999999999999999999", "Step-00000100"}) {
    EXPECT_FALSE(parse_step_name(foreign)) << foreign;
  }
  EXPECT_EQ(work_name(Work::tmp, "step-00000100", "0badcafe"), ".tmp-step-00000100-0badcafe");
  EXPECT_EQ(parse_work_name(".old-step-00000100-0badcafe")->what, "step-00000100");
  EXPECT_EQ(parse_work_name(".trash-step-00000100-1")->work, Work::trash);
  EXPECT_TRUE(parse_work_name(".tmp-latest-0badcafe"));
  for (const char* foreign : {".tmp-", ".tmp-step-00000100", ".tmp-step-00000100-", ".tmp-step-100-0badcafe", ".tmp-step-00000100-mine",
                              ".trash-latest-0badcafe", ".tmp-notes-0badcafe", "tmp-step-00000100-0badcafe"}) {
    EXPECT_FALSE(parse_work_name(foreign)) << foreign;
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::testing
