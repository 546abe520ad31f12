// From a table to a plan: budgets, references, objectives and reasons, on tables written by hand and on random ones.
#include "compressors/plan/choose.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "config/load.h"

namespace thinwire::compressors {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

CandidateSet set_of(const std::vector<std::string>& sets) {
  CodecChoice choice;
  config::Section section;
  describe(section, choice);
  config::load(section, {}, sets);
  return make_candidates(choice, {});
}

CandidateSet topk_set() { return set_of({"codec=topk", "topk.density=1%"}); }

std::vector<LayerToPlan> layers_of(std::initializer_list<int64_t> rows) {
  std::vector<LayerToPlan> layers;
  for (const int64_t r : rows) {
    layers.emplace_back();
    layers.back().name = "layer" + std::to_string(layers.size());
    layers.back().rows = r;
    layers.back().cols = 4096;
  }
  return layers;
}

// Error falls with the candidate's index; the first layer is `contrast` times as hard to compress.
ErrorTable table_of(const CandidateSet& set, size_t layers, double contrast) {
  ErrorTable table(layers, set.candidates.size());
  for (size_t l = 0; l < layers; ++l) {
    for (size_t c = 1; c < set.candidates.size(); ++c) table.errors(l)[c] = (l == 0 ? contrast : 1) / static_cast<double>(c);
    table.squared_norm(l) = 2000;
  }
  return table;
}

Plan plan_of(const CandidateSet& set, const std::vector<LayerToPlan>& layers, const ErrorTable& table, const PlanOptions& options = {},
             const Plan& last = {}) {
  return choose(set, layers, table, {}, options, last);
}

TEST(ChoosePlan, EqualLayersStayUniform) {
  const CandidateSet set = topk_set();
  const Plan plan = plan_of(set, layers_of({8, 8, 8}), table_of(set, 3, 1));
  for (const PlannedLayer& layer : plan.layers) {
    EXPECT_EQ(layer.choice, "topk density=1%");
    EXPECT_EQ(layer.squared_error, 0.1);
    EXPECT_EQ(layer.payload_bytes, 8 * (1 + 2 * 41 + 62));  // 41 of 4096
    EXPECT_EQ(layer.wire_bytes, layer.payload_bytes);       // gathered by two ranks
    EXPECT_EQ(layer.why_dense, "");
  }
  EXPECT_EQ(plan.version, 1u);
  EXPECT_EQ(plan.cost, plan.reference_cost);
}

TEST(ChoosePlan, HardLayersGetMoreAndEasyOnesLess) {
  const CandidateSet set = topk_set();
  const Plan plan = plan_of(set, layers_of({8, 8, 8}), table_of(set, 3, 100));
  EXPECT_GT(plan.layers[0].payload_bytes, plan.layers[1].payload_bytes);
  EXPECT_LE(plan.error, plan.budget);
  EXPECT_EQ(plan.budget, 100.0 / 10 + 0.1 + 0.1);
  EXPECT_LT(plan.cost, 0.9 * plan.reference_cost);
}

// A budget that is large beside a layer's numbers would allow it the harshest candidate, which is off by more than they are.
TEST(ChoosePlan, ChoosesNoCandidateThatIsFurtherOffThanSendingNothing) {
  const CandidateSet set = set_of({"codec=quantize", "quantize.bits=2"});  // none, 1, 2, 3, 4 bits
  ErrorTable table(2, set.candidates.size());
  for (size_t l = 0; l < 2; ++l) {
    const double size = l == 0 ? 1e6 : 1;
    table.squared_norm(l) = size;
    for (size_t c = 1; c < set.candidates.size(); ++c) table.errors(l)[c] = size * 5 * std::pow(0.1, static_cast<double>(c - 1));
  }
  const Plan plan = plan_of(set, layers_of({8, 8}), table);
  EXPECT_EQ(plan.layers[0].choice, "quantize bits=2");
  EXPECT_EQ(plan.layers[1].choice, "quantize bits=2") << "1 bit would be 5 times as far off as nothing";
}

TEST(ChoosePlan, IsNeverOverBudgetNorCostlierThanUniform) {
  const CandidateSet set = topk_set();
  for (uint64_t trial = 0; trial < 30; ++trial) {
    const Draw draw(trial);
    std::vector<LayerToPlan> layers;
    for (size_t l = 0; l < 1 + trial; ++l) {
      layers.emplace_back();
      layers.back().name = std::to_string(l);
      layers.back().cols = static_cast<int64_t>(std::exp(9 + 2 * draw.normal(l)));
    }
    ErrorTable table(layers.size(), set.candidates.size());
    for (size_t l = 0; l < layers.size(); ++l) {
      for (size_t c = 1; c < set.candidates.size(); ++c) table.errors(l)[c] = std::exp(2 * draw.normal(l) - draw.uniform(l) * std::log(c));
    }
    for (const char* metric : {"squared", "unsquared"}) {
      PlanOptions options;
      options.metric = metric;
      const Plan plan = plan_of(set, layers, table, options);
      double error = 0, uniform = 0;
      for (size_t l = 0; l < layers.size(); ++l) {
        const bool root = options.metric == "unsquared";
        error += root ? std::sqrt(plan.layers[l].squared_error) : plan.layers[l].squared_error;
        uniform += root ? std::sqrt(table.errors(l)[set.uniform]) : table.errors(l)[set.uniform];
      }
      EXPECT_LE(error, uniform);
      EXPECT_LE(plan.cost, plan.reference_cost);
      EXPECT_LE(plan.bound, plan.cost);
    }
  }
}

// Squared errors 9 and 100. A little more for the first layer, to 1, and much less for the second, to 110.25, would save bytes: 111.25 is
// over the 109 of the squares, and 1 + 10.5 well below the 3 + 10 of the roots.
TEST(ChoosePlan, SquaredAndUnsquaredErrorsGiveDifferentPlans) {
  const CandidateSet set = set_of({"codec=topk", "topk.density=10%"});
  ErrorTable table(2, set.candidates.size());
  for (const size_t l : {size_t{0}, size_t{1}}) {
    for (double& error : table.errors(l).subspan(1)) error = kInfinity;
  }
  const size_t gentler = set.uniform + 1, harsher = set.uniform - 5;
  table.errors(0)[set.uniform] = 9;
  table.errors(0)[gentler] = 1;
  table.errors(1)[set.uniform] = 100;
  table.errors(1)[harsher] = 110.25;
  PlanOptions options;
  options.metric = "squared";
  const Plan squared = plan_of(set, layers_of({8, 8}), table, options);
  EXPECT_EQ(squared.layers[0].choice, set.candidates[set.uniform].text);
  EXPECT_EQ(squared.layers[1].choice, set.candidates[set.uniform].text);
  EXPECT_EQ(squared.budget, 109);
  options.metric = "unsquared";
  const Plan unsquared = plan_of(set, layers_of({8, 8}), table, options);
  EXPECT_EQ(unsquared.layers[0].choice, set.candidates[gentler].text);
  EXPECT_EQ(unsquared.layers[1].choice, set.candidates[harsher].text);
  EXPECT_EQ(unsquared.budget, 13);
  EXPECT_EQ(unsquared.error, 11.5);
  EXPECT_EQ(unsquared.layers[1].squared_error, 110.25);
}

// Layers of one shape and one curve of errors, but for a factor of 10^6: only relative errors make the same choice for both.
TEST(ChoosePlan, RelativeErrorsDoNotSeeALayersScale) {
  const CandidateSet set = set_of({"codec=topk", "topk.density=10%"});
  ErrorTable table(2, set.candidates.size());
  for (const size_t l : {size_t{0}, size_t{1}}) {
    const double scale = l == 0 ? 1 : 1e6;
    table.squared_norm(l) = scale;
    for (size_t c = 1; c < set.candidates.size(); ++c) table.errors(l)[c] = scale * std::exp(-0.05 * static_cast<double>(c));
  }
  PlanOptions options;
  options.metric = "relative";
  const Plan relative = plan_of(set, layers_of({1, 1}), table, options);
  EXPECT_NEAR(relative.budget, 2 * 4096 * std::exp(-0.05 * static_cast<double>(set.uniform)), 1e-6);
  EXPECT_LE(relative.error, relative.budget);
  EXPECT_EQ(relative.layers[0].choice, relative.layers[1].choice);
  options.metric = "squared";
  const Plan squared = plan_of(set, layers_of({1, 1}), table, options);
  EXPECT_NE(squared.layers[0].choice, squared.layers[1].choice);
}

TEST(ChoosePlan, SaysWhyALayerIsDense) {
  const CandidateSet set = set_of({"codec=bf16"});
  std::vector<LayerToPlan> layers = layers_of({8, 8, 8});
  layers[2].fixed = set.candidates[0].compressor;
  layers[2].fixed_text = "none";
  layers[2].why_dense = "rule 'layer3'";
  ErrorTable table(3, 2);
  table.errors(0)[1] = kInfinity;
  table.errors(1)[1] = 5;
  table.errors(2)[1] = 1e9;  // not looked at
  const Plan plan = plan_of(set, layers, table);
  EXPECT_EQ(plan.layers[0].why_dense, "its numbers are not finite");
  EXPECT_EQ(plan.layers[1].choice, "bf16");
  EXPECT_EQ(plan.layers[2].why_dense, "rule 'layer3'");
  EXPECT_EQ(plan.budget, 5);

  PlanOptions strict;
  strict.alpha = 0;
  EXPECT_EQ(plan_of(set, layers, table, strict).layers[1].why_dense, "the error budget saves more on other layers");
  EXPECT_EQ(plan_of(set_of({"codec=none"}), layers, ErrorTable(3, 1)).layers[1].why_dense, "there is no other candidate");
}

// Top-k's payloads go to all others: 10 % of 4096 is 1 + 820 + 615 bytes, to 63 ranks 90,468; fp32 by two-shot is 2 * 16384 * 63 / 64 =
// 32,256.
TEST(ChoosePlan, GatheringBetweenManyRanksMayNotPay) {
  const CandidateSet set = set_of({"codec=topk", "topk.density=100%"});
  ErrorTable table(1, set.candidates.size());
  PlanOptions options;
  const Plan plan = choose(set, layers_of({1}), table, {.ranks = 64, .speeds = {}}, options, {});
  EXPECT_EQ(plan.layers[0].why_dense, "no candidate sends less");
  EXPECT_DOUBLE_EQ(plan.cost, 32256);
}

// The same payloads re-encoded by owners: 2 * 1436 * 63 / 64. Codecs that cannot be cut are gathered all the same.
TEST(ChoosePlan, ReencodingBetweenManyRanksDoesPay) {
  const CandidateSet topk = set_of({"codec=topk", "topk.density=10%"}),
                     whole = set_of({"codec=topk", "topk.scope=global", "topk.index_coding=rice"});
  ErrorTable of_topk(1, topk.candidates.size()), of_whole(1, whole.candidates.size());
  for (size_t c = 1; c < topk.candidates.size(); ++c) of_topk.errors(0)[c] = 1.0 / static_cast<double>(c);
  for (size_t c = 1; c < whole.candidates.size(); ++c) of_whole.errors(0)[c] = 1.0 / static_cast<double>(c);
  const Plan plan = choose(topk, layers_of({1}), of_topk, {.ranks = 64, .reencode = true, .speeds = {}}, PlanOptions(), {});
  EXPECT_EQ(plan.layers[0].choice, "topk density=10%");
  EXPECT_DOUBLE_EQ(plan.cost, 2.0 * 1436 * 63 / 64);
  const Conditions flat{.ranks = 64, .reencode = false, .speeds = {}}, reencoding{.ranks = 64, .reencode = true, .speeds = {}};
  EXPECT_EQ(choose(whole, layers_of({1}), of_whole, flat, PlanOptions(), {}),
            choose(whole, layers_of({1}), of_whole, reencoding, PlanOptions(), {}));
}

TEST(ChoosePlan, ByTimeASlowCodecDoesNotPayOnAFastLink) {
  const CandidateSet set = set_of({"codec=bf16"});
  std::vector<LayerToPlan> layers = layers_of({1, 1});
  layers[0].s_per_byte = 1e-6;   // a slow link
  layers[1].s_per_byte = 1e-12;  // a fast one
  ErrorTable table(2, 2);
  PlanOptions options;
  options.objective = "time";
  const CodecSpeed none{}, bf16{1e-9, 2e-9};
  const Plan plan = choose(set, layers, table, {.ranks = 4, .speeds = {none, bf16}}, options, {});
  EXPECT_EQ(plan.layers[0].choice, "bf16");
  EXPECT_EQ(plan.layers[1].choice, "none");
  EXPECT_EQ(plan.layers[1].why_dense, "no candidate is faster");
  // Two trips of three quarters of 8192 bytes at 1e-6; encode one and a quarter times and decode twice; the same of 16384 bytes at 1e-12.
  EXPECT_NEAR(plan.cost, 12288e-6 + 4096 * (1.25e-9 + 4e-9) + 24576e-12, 1e-15);
  // Two ranks gather: encode once.
  const Plan pair = choose(set, layers, table, {.ranks = 2, .speeds = {none, bf16}}, options, {});
  EXPECT_NEAR(pair.cost, 8192e-6 + 4096 * (1e-9 + 4e-9) + 16384e-12, 1e-15);
}

TEST(ChoosePlan, AccordionIsGentleWhereTheNormMoves) {
  const CandidateSet set = topk_set();
  const auto layers = layers_of({8, 8});
  ErrorTable table = table_of(set, 2, 1);
  PlanOptions options;
  options.reference = "accordion";
  const Plan first = plan_of(set, layers, table, options);
  EXPECT_DOUBLE_EQ(first.budget, 2 * (1.0 / 20));  // all are critical at first: 2 %
  table.squared_norm(0) = 500;                     // half the norm: critical at 50 %
  table.squared_norm(1) = 1900;
  const Plan second = plan_of(set, layers, table, options, first);
  EXPECT_DOUBLE_EQ(second.budget, 1.0 / 20 + 1.0 / 5);
  EXPECT_EQ(second.version, 2u);
}

TEST(Accordion, ComparesNormsNotSquares) {
  EXPECT_TRUE(is_critical(16, 4, 0.5));
  EXPECT_FALSE(is_critical(16, 4.1, 0.5));
  EXPECT_TRUE(is_critical(16, 36, 0.5));
  EXPECT_FALSE(is_critical(16, 35, 0.5));
}

TEST(WireBytes, FollowTheWayOfCombining) {
  EXPECT_EQ(wire_bytes(Combine::gather, 100, 4), 300);
  EXPECT_EQ(wire_bytes(Combine::reencode, 100, 4), 150);
  EXPECT_EQ(wire_bytes(Combine::sketch, 100, 4), 150);
  EXPECT_EQ(wire_bytes(Combine::gather, 100, 1), 0);
}

Plan some_plan() {
  const CandidateSet set = topk_set();
  auto layers = layers_of({8, 1, 3});
  layers[1].fixed = set.candidates[0].compressor;
  layers[1].fixed_text = "none";
  layers[1].why_dense = "4096 elements < min_elems 5000";
  return plan_of(set, layers, table_of(set, 3, 7));
}

TEST(PlanText, GivesThePlanBack) {
  const Plan plan = some_plan();
  EXPECT_EQ(parse_plan(to_text(plan)), plan);
  EXPECT_EQ(hash(parse_plan(to_text(plan))), hash(plan));
}

TEST(PlanText, ItsHashSeesEveryChangeOfChoiceAndVersion) {
  const Plan plan = some_plan();
  Plan other = plan;
  other.version = 9;
  EXPECT_NE(hash(other), hash(plan));
  other = plan;
  other.layers[2].choice = "none";
  EXPECT_NE(hash(other), hash(plan));
}

TEST(PlanText, RefusesWhatIsNoPlan) {
  const std::string text = to_text(some_plan());
  for (size_t cut = 0; cut < text.size(); ++cut) {
    if (cut > 0 && text[cut - 1] == '\n') continue;  // whole lines: a plan of fewer layers
    EXPECT_THROW(parse_plan(text.substr(0, cut)), CorruptData) << cut;
  }
  EXPECT_THROW(parse_plan("thinwire plan 2\t1\t0\t0\t0\t0\t0\n"), CorruptData);
  EXPECT_THROW(parse_plan("thinwire plan 1\tone\t0\t0\t0\t0\t0\n"), CorruptData);
  EXPECT_THROW(parse_plan("thinwire plan 1\t1\t0\t0\t0\t0\t0\t0\n"), CorruptData);
}

TEST(PlanTable, ShowsChoiceErrorBytesAndReason) {
  Plan plan;
  plan.version = 3;
  plan.layers = {{"embed", 64, 100, "topk density=1%", 4, 16, 1280, 1280, ""}, {"norm", 1, 64, "none", 0, 0, 256, 256, "64 elements"}};
  plan.cost = 1;
  plan.reference_cost = 4;
  plan.bound = 0.5;
  plan.budget = 8;
  plan.error = 4;
  const std::string table = format_table(plan);
  EXPECT_NE(table.find("embed     64x100  topk density=1%  50.00%  1,280   20.0\n"), std::string::npos) << table;
  EXPECT_NE(table.find("norm      1x64    none                  -    256    1.0  64 elements\n"), std::string::npos) << table;
  EXPECT_NE(table.find("2 layers  6,464                    50.00%  1,536   16.8\n"), std::string::npos) << table;
  EXPECT_NE(table.find("cost 0.250 of the reference's; no plan within the budget costs less than 0.125; error 0.500 of the budget\n"),
            std::string::npos)
      << table;
}

}  // namespace
}  // namespace thinwire::compressors
