// Frames of a link against their format page (docs/formats/grpc.md), and bytes that are none.
#include "comm/grpc/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace thinwire::comm {
namespace {

using Kind = FrameHeader::Kind;
using testing::HasSubstr;

std::vector<std::byte> bytes_from(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(GrpcFrame, HeadersAreAsTheFormatPageSays) {
  const auto header = encode(FrameHeader{Kind::part, 0x01020304, 0x1122334455667788});
  EXPECT_EQ(std::vector(header.begin(), header.end()),
            bytes_from({3, 0, 0, 0, 0x04, 0x03, 0x02, 0x01, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}));
  const auto parsed = parse_header(header, 1);
  EXPECT_EQ(parsed.kind, Kind::part);
  EXPECT_EQ(parsed.code, 0x01020304u);
  EXPECT_EQ(parsed.value, 0x1122334455667788u);
}

struct BadHeader {
  const char* name;
  FrameHeader header;
  size_t payload_bytes;
};
class RefusesHeaders : public testing::TestWithParam<BadHeader> {};
TEST_P(RefusesHeaders, AsCorrupt) { EXPECT_THROW(parse_header(encode(GetParam().header), GetParam().payload_bytes), CorruptData); }
const BadHeader kBadHeaders[] = {
    {"KindZero", {static_cast<Kind>(0)}, 0},
    {"KindBeyond", {static_cast<Kind>(7)}, 0},
    {"MessageLongerThanAPart", {Kind::message, 0, uint64_t{1} << 40}, kPartBytes + 1},
    {"MessageLongerThanItSays", {Kind::message, 0, 9}, 10},
    {"MessageThatSaysMoreAndBringsNothing", {Kind::message, 0, 9}, 0},
    {"EmptyPart", {Kind::part, 0, 9}, 0},
    {"PartAtZero", {Kind::part, 0, 0}, 9},
    {"CreditWithPayload", {Kind::credit, 0, 9}, 1},
    {"ByeWithPayload", {Kind::bye}, 1},
    {"AbortWithABook", {Kind::abort, 5}, 4 * kMostTextBytes + 1},
};
INSTANTIATE_TEST_SUITE_P(GrpcFrame, RefusesHeaders, testing::ValuesIn(kBadHeaders), [](const auto& of) { return of.param.name; });

TEST(GrpcFrame, RefusesReservedBytesAndHalfAHeader) {
  auto header = encode(FrameHeader{Kind::bye});
  header[2] = std::byte{1};
  EXPECT_THROW(parse_header(header, 0), CorruptData);
  EXPECT_THROW(parse_header(ConstBytes(header).first(15), 0), CorruptData);
}

Hello example() {
  Hello hello;
  hello.from = 3;
  hello.to = 1;
  hello.session = "secret";
  hello.line = "0/abc/bulk 1/0";
  hello.host = "node7";
  return hello;
}

TEST(GrpcFrame, AHelloComesBackAsItWas) { EXPECT_EQ(parse_hello(encode(example())), example()); }

TEST(GrpcFrame, EveryHalfOfAHelloIsRefused) {
  const auto whole = encode(example());
  for (size_t num_bytes = 0; num_bytes < whole.size(); ++num_bytes)
    EXPECT_THROW(parse_hello(ConstBytes(whole).first(num_bytes)), CorruptData) << num_bytes;
  auto more = whole;
  more.push_back({});
  EXPECT_THROW(parse_hello(more), CorruptData);
}

TEST(GrpcFrame, AHelloOfAnotherVersionSaysBoth) {
  Hello hello = example();
  hello.version = 7;
  try {
    parse_hello(encode(hello));
    FAIL() << "accepted";
  } catch (const CorruptData& e) {
    EXPECT_THAT(e.what(), testing::AllOf(HasSubstr("version 7"), HasSubstr("speak 1"), HasSubstr("same program")));
  }
}

TEST(GrpcFrame, WindowsAndLengthsOfAHelloAreBounded) {
  Hello hello = example();
  for (const uint64_t window : {uint64_t{0}, uint64_t{kPartBytes}, UINT64_MAX}) {
    hello.window_bytes = window;
    EXPECT_THROW(parse_hello(encode(hello)), CorruptData) << window;
  }
  auto bytes = encode(example());
  store_le(&bytes[24], uint32_t{0xffffffff});  // the session's length
  EXPECT_THROW(parse_hello(bytes), CorruptData);
}

TEST(GrpcFrame, ForeignTextIsMadePrintableAndShort) {
  EXPECT_EQ(printable(bytes_of(std::string_view("a\x1b[31m\nb"))), "a?[31m b");
  EXPECT_EQ(printable(std::vector<std::byte>(10'000, std::byte{'x'})).size(), kMostTextBytes);
}

}  // namespace
}  // namespace thinwire::comm
