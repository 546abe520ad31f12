#include "compressors/topk/layer_choice.h"

#include <gtest/gtest.h>

#include "compressors/guards.h"
#include "compressors/topk/reference.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

struct Choice {
  std::vector<uint32_t> indices;
  std::vector<float> values;
};

Choice choose(const In& in, size_t elems, size_t count) {
  std::vector<std::byte> storage(layer_choice_scratch_bytes() + 64);
  void* at = storage.data();
  size_t room = storage.size();
  const MutableBytes scratch(static_cast<std::byte*>(std::align(64, layer_choice_scratch_bytes(), at, room)), layer_choice_scratch_bytes());
  Choice choice{std::vector<uint32_t>(count), std::vector<float>(count)};
  choose_of_layer(layer_of(elems), in, scratch, choice.indices, choice.values);
  return choice;
}

Choice reference_choice(const std::vector<float>& a, size_t count) {
  std::vector<uint32_t> magnitudes(a.size());
  Choice choice{std::vector<uint32_t>(count), {}};
  select_largest(a, magnitudes, choice.indices);
  for (const uint32_t index : choice.indices) choice.values.push_back(a[index]);
  return choice;
}

void expect_the_reference_choice(const std::vector<float>& a, size_t count) {
  const Choice choice = choose({.x = a.data()}, a.size(), count), expected = reference_choice(a, count);
  EXPECT_EQ(choice.indices, expected.indices) << count << " of " << a.size();
  EXPECT_EQ(bits_of(choice.values), bits_of(expected.values));
}

TEST(LayerChoice, IsTheReferenceChoiceOnInputsThatHurt) {
  for (const size_t elems : awkward_sizes()) {
    if (elems == 0) continue;
    for (const Input& input : hurtful_inputs(elems)) {
      SCOPED_TRACE(input.name);
      for (const size_t count : {size_t{1}, (elems + 99) / 100, (elems + 1) / 2, elems}) expect_the_reference_choice(input.values, count);
      if (HasFailure()) return;
    }
  }
}

TEST(LayerChoice, BreaksTiesByTheLowerIndexAcrossBlocks) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Draw draw(seed);
    const size_t elems = 4097 + draw.below(0, 10000), count = 1 + draw.below(1, elems);
    const uint64_t levels = 1 + draw.below(2, 5);
    std::vector<float> a(elems);
    for (size_t i = 0; i < elems; ++i)
      a[i] = static_cast<float>(draw.below(3 + i, levels)) * (draw.bits(20000 + i) % 2 == 0 ? -0.25f : 0.25f);
    expect_the_reference_choice(a, count);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

// Thresholds that differ in each of the three digits alone.
TEST(LayerChoice, TellsMagnitudesApartByEveryBit) {
  for (unsigned bit = 0; bit < 31; ++bit) {
    std::vector<float> a(100, std::bit_cast<float>(0x2aaaaaaau & ~(1u << bit)));
    a[60] = std::bit_cast<float>(0x2aaaaaaau | 1u << bit | 0x80000000u);
    EXPECT_EQ(choose({.x = a.data()}, a.size(), 1).indices, std::vector<uint32_t>{60}) << "bit " << bit;
    EXPECT_EQ(choose({.x = a.data()}, a.size(), 2).indices, (std::vector<uint32_t>{0, 60})) << "bit " << bit;
  }
}

TEST(LayerChoice, LeavesTheSumInTheResidual) {
  const std::vector<float> x = normal_values(9000, 1);
  std::vector<float> residual = normal_values(9000, 2), a(9000);
  const In in{.x = x.data(), .scale = 0.3f, .residual = residual.data(), .decay = 0.9f};
  accumulate(in, 0, a);
  const Choice choice = choose(in, 9000, 90), expected = reference_choice(a, 90);
  EXPECT_EQ(choice.indices, expected.indices);
  EXPECT_EQ(choice.values, expected.values);
  EXPECT_EQ(bits_of(residual), bits_of(a));
}

}  // namespace
}  // namespace thinwire::compressors
