#include <gtest/gtest.h>

#include "base/error.h"
#include "config/load.h"
#include "data/corpus.h"

namespace thinwire::data {
namespace {

struct Root {
  DataOptions data;
};
void describe(config::Section& section, Root& root) { section.section("data", root.data, "where tokens come from"); }

DataOptions loaded(const std::string& yaml) {
  Root root;
  config::Section section = config::describe_root(root);
  config::load(section, {{"test.yaml", yaml}}, {});
  return root.data;
}

void expect_config_error(const std::string& yaml, std::initializer_list<std::string> key_words) {
  try {
    loaded(yaml);
    ADD_FAILURE() << "accepted: " << yaml;
  } catch (const ConfigError& e) {
    for (const auto& word : key_words) EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << word << " is not in: " << e.what();
  }
}

TEST(DataOptions, DefaultsAreValid) {
  const DataOptions options = loaded("data: {}");
  EXPECT_EQ(options.source, "gcide");
  EXPECT_EQ(options.tokenizer, "byte");
  EXPECT_EQ(options.global_batch % options.micro_batch, 0);
}

TEST(DataOptions, AreReadFromYaml) {
  const DataOptions options = loaded("data: {source: text, files: [a.txt, 'b/*.gz'], global_batch: 12, micro_batch: 3}");
  EXPECT_EQ(options.source, "text");
  EXPECT_EQ(options.files, (std::vector<std::string>{"a.txt", "b/*.gz"}));
  EXPECT_EQ(options.global_batch, 12);
  EXPECT_EQ(options.micro_batch, 3);
}

TEST(DataOptions, SourcesTextAndTokensNeedFiles) {
  expect_config_error("data: {source: text}", {"data.source", "data.files", "txt.gz"});
  expect_config_error("data: {source: tokens}", {"data.source", "data.files", "*.bin"});
}

TEST(DataOptions, WhatIsForTokensAloneIsRefusedElsewhere) {
  expect_config_error("data: {source: text, files: [a], validation_files: [b]}", {"data.validation_files", "data.source is text"});
  expect_config_error("data: {tokenizer: none}", {"data.tokenizer is none", "data.source is gcide"});
  expect_config_error("data: {source: tokens, files: [a], format: uint8}", {"data.format", "uint16"});
}

TEST(DataOptions, FilesWithAnotherSourceAreAnErrorNamingBoth) {
  expect_config_error("data: {source: synthetic, files: [a.txt]}", {"data.files", "data.source is synthetic"});
  expect_config_error("data: {files: [a.txt]}", {"data.files", "data.source is gcide"});
  expect_config_error("data: {source: fashion_mnist, files: [a.txt]}", {"data.files", "data.source is fashion_mnist"});
}

TEST(DataOptions, TheGlobalBatchIsAMultipleOfTheMicroBatch) {
  expect_config_error("data: {global_batch: 10, micro_batch: 4}", {"data.global_batch 10", "data.micro_batch 4", "8 and 12"});
  expect_config_error("data: {global_batch: 2, micro_batch: 4}", {"data.global_batch 2", "nearest that are: 4"});
}

TEST(DataOptions, UnknownSourcesTokenizersAndBatchesAreRefused) {
  expect_config_error("data: {source: gicde}", {"gcide"});
  expect_config_error("data: {source: pictures}", {"text", "tokens", "synthetic", "fashion_mnist"});
  expect_config_error("data: {tokenizer: ''}", {"data.tokenizer", "byte"});
  expect_config_error("data: {global_batch: 0}", {"global_batch"});
  expect_config_error("data: {micro_batch: -4}", {"micro_batch"});
}

}  // namespace
}  // namespace thinwire::data
