#include <nlohmann/json.hpp>

#include "tests/unit/config/example.h"

namespace thinwire::config {
namespace {

using Json = nlohmann::json;

template <class T>
Json schema_of() {
  T options;
  return Json::parse(json_schema(describe_root(options)));
}

TEST(Schema, RefusesUnknownKeysInEverySection) {
  const Json schema = schema_of<Compress>();
  EXPECT_EQ(schema["$schema"], "http://json-schema.org/draft-07/schema#");
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["properties"]["topk"]["additionalProperties"], false);
  EXPECT_EQ(schema["properties"]["rules"]["items"]["additionalProperties"], false);
}

TEST(Schema, KnowsChoicesRangesAndDefaults) {
  const Json properties = schema_of<Compress>()["properties"];
  EXPECT_EQ(properties["codec"]["enum"], Json({"none", "bf16", "topk"}));
  EXPECT_EQ(properties["codec"]["default"], "none");
  const Json& chunk = properties["topk"]["properties"]["chunk"];
  EXPECT_EQ(chunk["type"], "integer");
  EXPECT_EQ(chunk["minimum"], 2);
  EXPECT_EQ(chunk["maximum"], 4096);
  EXPECT_EQ(chunk["default"], 4096);
  EXPECT_NE(chunk["description"].get<std::string>().find("elements among which"), std::string::npos);
}

TEST(Schema, TakesNumbersWithAndWithoutAUnit) {
  const Json density = schema_of<Topk>()["properties"]["density"];
  EXPECT_EQ(density["anyOf"][0]["type"], "number");
  EXPECT_EQ(density["anyOf"][1]["pattern"], "^[0-9.eE+-]+(%)$");
  EXPECT_EQ(density["default"], "6.25%");
}

TEST(Schema, ASectionMayBeGivenByItsNameAlone) {
  const Json feedback = schema_of<Compress>()["properties"]["error_feedback"];
  EXPECT_EQ(feedback["anyOf"][0]["type"], "object");
  EXPECT_EQ(feedback["anyOf"][1]["enum"], Json({"none", "ef14", "ef21"}));
}

TEST(Schema, ListsOfNumbersHaveTheirDefaults) {
  const Json betas = schema_of<Optim>()["properties"]["betas"];
  EXPECT_EQ(betas["type"], "array");
  EXPECT_EQ(betas["items"]["maximum"], 1.0);
  EXPECT_EQ(betas["default"], Json({0.9, 0.95}));
}

TEST(Schema, AutoIsAWordBesideTheNumber) {
  struct Options {
    std::optional<int64_t> heads;
  } options;
  Section section;
  section.integer_or_auto("heads", options.heads, {.low = 1}, "of keys");
  const Json heads = Json::parse(json_schema(section))["properties"]["heads"];
  EXPECT_EQ(heads["anyOf"][0]["const"], "auto");
  EXPECT_EQ(heads["anyOf"][1]["minimum"], 1);
  EXPECT_EQ(heads["default"], "auto");
}

}  // namespace
}  // namespace thinwire::config
