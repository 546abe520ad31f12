#include "compressors/frame.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "base/hash.h"

namespace thinwire::compressors {
namespace {

const FrameInfo kInfo{.codec_id = 5, .leg = 1, .bucket = 0x01020304, .step = 40, .slot_table_hash = 0xfeedfacecafebeef, .plan_version = 7};
constexpr size_t kBodyBytes = 5;

std::vector<std::byte> sealed(const FrameInfo& info = kInfo) {
  std::vector<std::byte> frame(kFrameHeaderBytes + kBodyBytes + 3);  // the buffer may be larger than the frame
  for (size_t i = 0; i < kBodyBytes; ++i) frame[kFrameHeaderBytes + i] = static_cast<std::byte>(i + 1);
  frame.resize(seal_frame(frame, info, kBodyBytes));
  return frame;
}

std::string refusal(const std::vector<std::byte>& frame, const FrameInfo& expected = kInfo) {
  try {
    open_frame(frame, expected, "rank 2's contribution");
  } catch (const CorruptData& error) {
    return error.what();
  }
  return "accepted";
}

void expect_words(const std::string& message, std::initializer_list<const char*> words) {
  for (const char* word : words) EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' is missing in: " << message;
}

TEST(Frame, ReturnsItsBody) {
  const std::vector<std::byte> frame = sealed();
  const ConstBytes body = open_frame(frame, kInfo, "rank 2's contribution");
  ASSERT_EQ(body.size(), kBodyBytes);
  EXPECT_EQ(body.data(), frame.data() + kFrameHeaderBytes);
}

TEST(Frame, MayBeEmpty) {
  std::vector<std::byte> frame(kFrameHeaderBytes);
  EXPECT_EQ(seal_frame(frame, kInfo, 0), kFrameHeaderBytes);
  EXPECT_TRUE(open_frame(frame, kInfo, "rank 0").empty());
}

TEST(Frame, IsLaidOutAsTheFormatPageSays) {
  const std::vector<std::byte> frame = sealed();
  const auto at = [&]<class T>(size_t offset, T) { return load_le<T>(frame.data() + offset); };
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(frame.data()), 4), "TWFR");
  EXPECT_EQ(at(4, uint16_t{}), 1);
  EXPECT_EQ(at(6, uint16_t{}), 5);
  EXPECT_EQ(at(8, uint16_t{}), 1);
  EXPECT_EQ(at(10, uint16_t{}), 0);
  EXPECT_EQ(at(12, uint32_t{}), 0x01020304u);
  EXPECT_EQ(at(16, uint64_t{}), 40u);
  EXPECT_EQ(at(24, uint64_t{}), 0xfeedfacecafebeefu);
  EXPECT_EQ(at(32, uint32_t{}), 7u);
  EXPECT_EQ(at(36, uint32_t{}), 0u);
  EXPECT_EQ(at(40, uint64_t{}), kBodyBytes);
  std::vector<std::byte> hashed(frame.begin(), frame.begin() + 48);
  hashed.insert(hashed.end(), frame.begin() + kFrameHeaderBytes, frame.end());
  EXPECT_EQ(at(48, uint64_t{}), hash64(hashed));
}

TEST(Frame, NamesTheFieldInWhichAPeerIsOutOfStep) {
  const auto changed = [](auto&& change) {
    FrameInfo info = kInfo;
    change(info);
    return refusal(sealed(info));
  };
  expect_words(changed([](FrameInfo& i) { i.step = 41; }), {"rank 2's contribution", "step 41", "expected 40"});
  expect_words(changed([](FrameInfo& i) { i.leg = 0; }), {"rank 2's contribution", "leg 0", "expected 1"});
  expect_words(changed([](FrameInfo& i) { i.bucket = 9; }), {"rank 2's contribution", "bucket 9", "expected 16909060"});
  expect_words(changed([](FrameInfo& i) { i.codec_id = 1; }), {"rank 2's contribution", "codec_id 1", "expected 5"});
  expect_words(changed([](FrameInfo& i) { i.plan_version = 8; }), {"rank 2's contribution", "plan_version 8", "expected 7"});
  expect_words(changed([](FrameInfo& i) { i.slot_table_hash = 1; }), {"slot_table_hash 0000000000000001", "expected feedfacecafebeef"});
}

TEST(Frame, NamesTheFieldThatWasBrokenOnTheWay) {
  const auto with_byte = [](size_t offset, uint8_t value) {
    std::vector<std::byte> frame = sealed();
    frame[offset] = std::byte{value};
    return refusal(frame);
  };
  expect_words(with_byte(0, 'X'), {"rank 2's contribution", "magic"});
  expect_words(with_byte(4, 2), {"format version 2", "reads 1"});
  expect_words(with_byte(40, 6), {"body_bytes 6", "5 arrived"});
  expect_words(with_byte(47, 0x80), {"body_bytes", "5 arrived"});
  expect_words(with_byte(48, 0), {"checksum"});
  expect_words(with_byte(kFrameHeaderBytes + 2, 99), {"checksum"});
  expect_words(with_byte(16, 41), {"checksum"});
}

TEST(Frame, RefusesReservedFieldsThatAreSet) {
  for (const size_t offset : {10, 11, 36, 39}) {
    std::vector<std::byte> frame = sealed();
    frame[offset] = std::byte{1};
    std::vector<std::byte> hashed(frame.begin(), frame.begin() + 48);
    hashed.insert(hashed.end(), frame.begin() + kFrameHeaderBytes, frame.end());
    store_le(frame.data() + 48, hash64(hashed));
    expect_words(refusal(frame), {"reserved"});
  }
}

TEST(Frame, RefusesEveryChangedBit) {
  for (size_t bit = 0; bit < 8 * sealed().size(); ++bit) {
    std::vector<std::byte> frame = sealed();
    frame[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_NE(refusal(frame), "accepted") << "bit " << bit;
  }
}

TEST(Frame, RefusesEveryOtherLength) {
  const std::vector<std::byte> whole = sealed();
  for (size_t length = 0; length < whole.size(); ++length) {
    expect_words(refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}), {"rank 2's contribution"});
  }
  std::vector<std::byte> longer = whole;
  longer.push_back(std::byte{0});
  expect_words(refusal(longer), {"body_bytes 5", "6 arrived"});
}

}  // namespace
}  // namespace thinwire::compressors
