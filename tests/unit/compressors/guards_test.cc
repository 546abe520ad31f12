#include "compressors/guards.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compressors/dense_kernels.h"
#include "compressors/lane_sum.h"
#include "support.h"
#include "tests/support/targets.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

TEST(Accumulate, RoundsEachProductAndTheSumOnEveryTarget) {
  test::on_every_target([] {
    for (const size_t elems : {0, 1, 7, 16, 17, 33, 100}) {
      const std::vector<float> x = normal_values(elems + 3, 1), residual = normal_values(elems + 3, 2);
      std::vector<float> kept = residual, sum(elems), product(elems);
      accumulate({.x = x.data(), .scale = 0.3f, .residual = kept.data(), .decay = 0.7f}, 3, sum);
      accumulate({.x = x.data(), .scale = 0.3f}, 3, product);
      for (size_t i = 0; i < elems; ++i) {
        const volatile float old = 0.7f * residual[i + 3], fresh = 0.3f * x[i + 3];
        EXPECT_EQ(sum[i], old + fresh);
        EXPECT_EQ(product[i], fresh);
      }
      EXPECT_EQ(kept, residual);
    }
  });
}

TEST(SquareSum, EqualsThePlainOneOnEveryTarget) {
  test::on_every_target([] {
    for (const size_t elems : {0, 1, 7, 15, 16, 17, 31, 33, 100, 1027}) {
      for (const Input& input : hurtful_inputs(elems))
        EXPECT_EQ(dense_kernels::square_sum(input.values), square_sum(std::span<const float>(input.values)));
    }
    EXPECT_EQ(dense_kernels::square_sum(std::vector<float>(100, 3.0f)), 900);
  });
}

// The rounded numbers are what is squared; a residual, where there is one, in the second sum alone.
TEST(SquareSums, AreThoseOfWhatIsAccumulatedOnEveryTarget) {
  test::on_every_target([] {
    for (const size_t elems : {0, 1, 15, 16, 17, 31, 100, 1027}) {
      const std::vector<float> x = normal_values(elems + 3, 1);
      std::vector<float> residual = normal_values(elems + 3, 2), fresh(elems), whole(elems);
      const In alone{.x = x.data(), .scale = 0.3f}, both{.x = x.data(), .scale = 0.3f, .residual = residual.data(), .decay = 0.7f};
      accumulate(alone, 3, fresh);
      accumulate(both, 3, whole);
      const auto sums = dense_kernels::square_sums(both, 3, elems), same = dense_kernels::square_sums(alone, 3, elems);
      EXPECT_EQ(sums.fresh, square_sum(std::span<const float>(fresh)));
      EXPECT_EQ(sums.whole, square_sum(std::span<const float>(whole)));
      EXPECT_EQ(same.fresh, sums.fresh);
      EXPECT_EQ(same.whole, sums.fresh);
    }
  });
}

TEST(RequireFinite, DoesNotReadWhatIsKnownToBeFinite) {
  const float bad = std::numeric_limits<float>::infinity();
  EXPECT_NO_THROW(require_finite(layer_of(1), {.x = &bad, .known_finite = true}));
}

TEST(RequireFinite, NamesTheFirstBadElementOnEveryTarget) {
  test::on_every_target([] {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
      for (size_t at = 0; at < 40; ++at) {
        std::vector<float> x(40, std::numeric_limits<float>::max());
        EXPECT_NO_THROW(require_finite(layer_of(40), {.x = x.data()}));
        x[at] = bad;
        try {
          require_finite(layer_of(40), {.x = x.data()});
          ADD_FAILURE() << "accepted";
        } catch (const NonFiniteError& error) {
          EXPECT_EQ(std::string(error.what()).find("element " + std::to_string(at) + " of layer 3 is "), 0u) << error.what();
        }
      }
    }
  });
}

}  // namespace
}  // namespace thinwire::compressors
