#include "exchange/slots.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "base/draw.h"
#include "compressors/cast/none.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::ElementsAre;

const CodecPtr kDense = none_codec().codec, kSparse = topk_codec().codec;

SlotTable table_of(const std::vector<SlotSpec>& slots, int64_t bucket_elems) { return SlotTable(slots, bucket_elems * 4); }

std::vector<std::vector<Slot>> buckets_of(const SlotTable& table) {
  std::vector<std::vector<Slot>> buckets;
  for (const Bucket& bucket : table.buckets()) buckets.push_back(bucket.slots);
  return buckets;
}

TEST(SlotTable, FillsBucketsInTheOrderOfBackward) {
  const SlotTable table = table_of({slot("a", 4, kDense), slot("b", 3, kDense), slot("c", 4, kDense), slot("d", 4, kDense)}, 8);
  EXPECT_THAT(buckets_of(table), ElementsAre(ElementsAre(3, 2), ElementsAre(1, 0)));
  EXPECT_EQ(table.offset(3), 0u);
  EXPECT_EQ(table.offset(2), 4u);
  EXPECT_EQ(table.offset(1), 8u);
  EXPECT_EQ(table.offset(0), 11u);
  EXPECT_EQ(table.buckets()[1].begin, 8u);
  EXPECT_EQ(table.buckets()[1].elems, 7u);
  EXPECT_EQ(table.bucket_of(2), 0u);
  EXPECT_EQ(table.total_elems(), 15u);
}

TEST(SlotTable, SeparatesCodecsAndSortsBucketsByTheirLastSlot) {
  // `none` starts to fill first, but its bucket is complete only with the very first slot.
  const SlotTable table = table_of({slot("a", 1, kDense), slot("b", 9, kSparse), slot("c", 9, kSparse), slot("d", 1, kDense)}, 100);
  EXPECT_THAT(buckets_of(table), ElementsAre(ElementsAre(2, 1), ElementsAre(3, 0)));
  EXPECT_EQ(table.buckets()[0].codec_id, kSparse->id());
  EXPECT_EQ(table.buckets()[1].codec_id, kDense->id());
}

TEST(SlotTable, GivesALargeSlotABucketOfItsOwn) {
  const SlotTable table = table_of({slot("a", 2, kDense), slot("large", 11, kDense), slot("b", 2, kDense), slot("c", 2, kDense)}, 10);
  EXPECT_THAT(buckets_of(table), ElementsAre(ElementsAre(3, 2), ElementsAre(1), ElementsAre(0)));
}

TEST(SlotTable, FillsABucketToTheLastByte) {
  EXPECT_THAT(buckets_of(table_of({slot("a", 6, kDense), slot("b", 4, kDense)}, 10)), ElementsAre(ElementsAre(1, 0)));
  EXPECT_THAT(buckets_of(table_of({slot("a", 7, kDense), slot("b", 4, kDense)}, 10)), ElementsAre(ElementsAre(1), ElementsAre(0)));
}

TEST(SlotTable, HoldsEmptyAndSingleElementSlots) {
  const SlotTable table = table_of({slot("empty", 0, kDense), slot("one", 1, kDense), slot("empty_too", 0, kSparse)}, 1);
  EXPECT_THAT(buckets_of(table), ElementsAre(ElementsAre(2), ElementsAre(1, 0)));
  EXPECT_EQ(table.total_elems(), 1u);
  EXPECT_EQ(table_of({}, 1).total_elems(), 0u);
  EXPECT_TRUE(table_of({}, 1).buckets().empty());
}

// What every layout must satisfy, checked on one.
void expect_sound(const SlotTable& table, size_t bucket_elems) {
  size_t next = 0;
  std::set<Slot> seen;
  Slot last_ready = UINT32_MAX;
  for (uint32_t b = 0; b < table.buckets().size(); ++b) {
    const Bucket& bucket = table.buckets()[b];
    ASSERT_FALSE(bucket.slots.empty());
    EXPECT_EQ(bucket.begin, next);
    EXPECT_TRUE(bucket.elems <= bucket_elems || bucket.slots.size() == 1) << bucket.elems;
    for (const Slot s : bucket.slots) {
      EXPECT_TRUE(seen.insert(s).second);
      EXPECT_EQ(table.slots()[s].codec->id(), bucket.codec_id);
      EXPECT_EQ(table.offset(s), next) << "slots of a bucket are adjacent";
      EXPECT_EQ(table.bucket_of(s), b);
      next += table.slots()[s].elems();
    }
    EXPECT_EQ(bucket.begin + bucket.elems, next);
    const Slot last = *std::min_element(bucket.slots.begin(), bucket.slots.end());
    EXPECT_LT(last, last_ready) << "buckets are posted in the order in which backward completes them";
    last_ready = last;
  }
  EXPECT_EQ(seen.size(), table.slots().size());
  EXPECT_EQ(next, table.total_elems());
}

TEST(SlotTable, IsSoundForAnyListOfSlots) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Draw draw = Draw(seed).fork("slots");
    std::vector<SlotSpec> slots;
    for (uint64_t i = 0, count = draw.below(0, 20); i < count; ++i) {
      slots.push_back(slot(std::string(1, static_cast<char>('a' + i)), static_cast<int64_t>(draw.below(2 * i + 1, 12)),
                           draw.below(2 * i + 2, 2) ? kDense : kSparse));
    }
    const auto bucket_elems = static_cast<int64_t>(1 + draw.below(100, 20));
    SCOPED_TRACE(seed);
    expect_sound(table_of(slots, bucket_elems), static_cast<size_t>(bucket_elems));
  }
}

TEST(SlotTable, HashDependsOnNamesShapesCodecsOrderAndBuckets) {
  const auto hash = [](std::vector<SlotSpec> slots, int64_t bucket_elems = 100) { return table_of(slots, bucket_elems).hash(); };
  const SlotSpec a = slot("a", 6, kDense), b = slot("b", 6, kDense);
  SlotSpec tall = a;
  tall.rows = 2, tall.cols = 3;
  const std::set<uint64_t> hashes = {hash({a, b}),
                                     hash({b, a}),
                                     hash({a}),
                                     hash({a, slot("c", 6, kDense)}),
                                     hash({a, slot("b", 7, kDense)}),
                                     hash({tall, b}),
                                     hash({a, slot("b", 6, kSparse)}),
                                     hash({slot("a", 6, kSparse), slot("b", 6, kSparse)}),
                                     hash({a, b}, 6)};
  EXPECT_EQ(hashes.size(), 9u);
  const CodecPtr other_object = std::make_shared<compressors::NoneCodec>();  // of another rank: equal layouts have equal hashes
  EXPECT_EQ(hash({a, b}), hash({slot("a", 6, other_object), slot("b", 6, other_object)}));
}

}  // namespace
}  // namespace thinwire::exchange
