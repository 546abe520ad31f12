#include "comm/collectives.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "comm/driver.h"
#include "tests/support/run_ranks.h"

namespace thinwire::comm {
namespace {

using testing::HasSubstr;

TEST(OwnedSlice, GivesTheRemainderToTheLastOwners) {
  const size_t begins[] = {0, 2, 4, 7, 10};  // 10 elements, 4 owners: 2 2 3 3
  for (int owner = 0; owner < 4; ++owner) {
    EXPECT_EQ(owned_slice(10, owner, 4).begin, begins[owner]);
    EXPECT_EQ(owned_slice(10, owner, 4).end, begins[owner + 1]);
  }
}

TEST(OwnedSlice, CutsAtMultiplesOfTheAlignmentAndCoversEverything) {
  for (const size_t align : {1, 4, 4096}) {
    for (const size_t num_elems : {0, 1, 3, 4, 5, 4095, 4097, 100000}) {
      for (const int num_owners : {1, 2, 3, 7}) {
        size_t at = 0, largest = 0, smallest = SIZE_MAX;
        for (int owner = 0; owner < num_owners; ++owner) {
          const Slice slice = owned_slice(num_elems, owner, num_owners, align);
          ASSERT_EQ(slice.begin, at);
          ASSERT_LE(slice.begin, slice.end);
          ASSERT_TRUE(slice.end == num_elems || slice.end % align == 0);
          at = slice.end;
          largest = std::max(largest, slice.size());
          smallest = std::min(smallest, slice.size());
        }
        ASSERT_EQ(at, num_elems);
        ASSERT_LE(largest - smallest, 2 * align) << num_elems << " elements in " << num_owners;
      }
    }
  }
}

TEST(Collectives, RefuseAPeersMessageOfAnotherSize) {
  try {
    test::run_ranks(2, [](Transport& transport) {
      Driver driver(transport, 10);
      driver.run("sum", [&](Wire& wire) {
        std::vector<float> values(wire.rank() == 0 ? 8 : 6);
        sum_in_rank_order(wire, values);
      });
    });
    FAIL() << "sums of different lengths were added";
  } catch (const Error& e) {  // rank 0 owns 4 of its 8, rank 1 has 3 for it; rank 1 owns 3 of its 6, rank 0 has 4 for it
    EXPECT_EQ(e.code(), ExitCode::comm);
    EXPECT_THAT(e.what(), HasSubstr("sum_in_rank_order"));
    EXPECT_THAT(e.what(), testing::AnyOf(HasSubstr("rank 1 sent 12 bytes instead of 16"),
                                         HasSubstr("rank 0 sent 16 bytes, more than the 12 bytes that fit")));
  }
}

TEST(Collectives, RefuseToSendMoreThanWasAgreed) {
  EXPECT_THROW(test::run_ranks(2,
                               [](Transport& transport) {
                                 Driver driver(transport, 10);
                                 driver.run("gather", [](Wire& wire) { all_gather(wire, std::vector<std::byte>(5), size_t{4}); });
                               }),
               Error);
}

}  // namespace
}  // namespace thinwire::comm
