// Payloads as a broken or hostile peer sends them: CorruptData that leaves out alone, or finite values within bounds; under the address
// sanitizer also no byte read beyond the payload.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

class HostileBytes : public ::testing::TestWithParam<Variant> {
 protected:
  static constexpr size_t kElems = 37;
  std::shared_ptr<const Codec> codec = make(GetParam());
  Layer layer = layer_of(kElems);
  Payload good = encode(*codec, layer, normal_values(kElems, 1)).payload;

  // True when the payload was accepted.
  bool accepts(const Payload& payload) const {
    const std::vector<float> before = normal_values(kElems, 2);
    std::vector<float> out = before;
    try {
      decode_add(*codec, layer, payload, 1, out);
    } catch (const CorruptData& error) {
      EXPECT_EQ(bits_of(out), bits_of(before)) << "refused, but wrote: " << error.what();
      EXPECT_NE(std::string(error.what()).find(GetParam().codec + " payload of layer 3"), std::string::npos) << error.what();
      return false;
    }
    EXPECT_TRUE(std::ranges::all_of(out, [](float value) { return std::isfinite(value); }));
    return true;
  }
};
INSTANTIATE_TEST_SUITE_P(Codecs, HostileBytes, ::testing::ValuesIn(all_variants()), test_name);

TEST_P(HostileBytes, OfAnotherLengthAreRefused) {
  ASSERT_TRUE(accepts(good));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(accepts(Payload(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)))) << length << " bytes";
  }
  Payload longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(accepts(longer));
}

TEST_P(HostileBytes, WithOneByteChangedStayWithinBounds) {
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t flip : {0x01, 0x80, 0x7f, 0xff}) {
      Payload changed = good;
      changed[at] ^= std::byte{flip};
      accepts(changed);
    }
  }
}

TEST_P(HostileBytes, OfNoMeaningStayWithinBounds) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const Draw draw(seed);
    Payload garbage(good.size());
    for (size_t i = 0; i < garbage.size(); ++i) garbage[i] = static_cast<std::byte>(draw.bits(i));
    accepts(garbage);
  }
  for (const uint8_t fill : {0x00, 0xff}) accepts(Payload(good.size(), std::byte{fill}));
}

}  // namespace
}  // namespace thinwire::compressors
