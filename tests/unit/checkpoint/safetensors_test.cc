#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/hash.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string little_endian(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}
std::string file_of(const std::string& header, const std::string& data) { return little_endian(header.size()) + header + data; }

const std::string kOneAndTwo("\x00\x00\x80\x3f\x00\x00\x00\x40", 8);  // 1.0f, 2.0f

std::string text_of(ConstBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

TEST(Safetensors, ReadsAFileBuiltByHand) {
  TempDir dir;
  const std::string bytes = file_of(
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[3,11]},"scalar":{"dtype":"U8","shape":[],"data_offsets":[2,3]},)"
      R"("none":{"dtype":"I64","shape":[0],"data_offsets":[3,3]},"h":{"data_offsets":[0,2],"shape":[1],"dtype":"BF16"}}   )",
      std::string("\x80\x3f\x07", 3) + kOneAndTwo);
  write(dir / "a.safetensors", bytes);
  const SafetensorsFile file(dir / "a.safetensors");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(file.tensors().at("w").dtype, DType::f32);
  EXPECT_EQ(file.tensors().at("w").shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(text_of(file.data("w")), kOneAndTwo);
  EXPECT_EQ(text_of(file.data("h")), "\x80\x3f");
  EXPECT_EQ(text_of(file.data("scalar")), "\x07");
  EXPECT_TRUE(file.data("none").empty());
  EXPECT_THAT(error_of([&] { file.data("nowhere"); }), HasSubstr("nowhere"));
}

TEST(Safetensors, KnowsAllSixDtypes) {
  const std::map<DType, std::string> names = {{DType::f32, "F32"}, {DType::bf16, "BF16"}, {DType::f16, "F16"},
                                              {DType::i64, "I64"}, {DType::u8, "U8"},     {DType::f64, "F64"}};
  for (const auto& [dtype, name] : names) {
    EXPECT_EQ(dtype_name(dtype), name);
    EXPECT_EQ(parse_dtype(name, "x"), dtype);
  }
}

TEST(Safetensors, WritesExactlyTheseBytes) {
  TempDir dir;
  const std::string u8 = "\x05", i64(8, '\x01'), f16 = "ab", f16b = "cd";
  const auto summary = write_safetensors(dir / "a",
                                         {{"z", DType::u8, {1}, bytes_of(std::string_view(u8))},
                                          {"n", DType::f16, {1}, bytes_of(std::string_view(f16b))},
                                          {"m", DType::f16, {1, 1}, bytes_of(std::string_view(f16))},
                                          {"long", DType::i64, {}, bytes_of(std::string_view(i64))},
                                          {"w", DType::f32, {2}, bytes_of(std::string_view(kOneAndTwo))}},
                                         {{"k", "v\"1"}});
  std::string header =
      R"({"__metadata__":{"k":"v\"1"},"long":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
      R"("m":{"dtype":"F16","shape":[1,1],"data_offsets":[16,18]},"n":{"dtype":"F16","shape":[1],"data_offsets":[18,20]},)"
      R"("z":{"dtype":"U8","shape":[1],"data_offsets":[20,21]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::string expected = file_of(header, i64 + kOneAndTwo + f16 + f16b + u8);
  EXPECT_EQ(read(dir / "a"), expected);
  EXPECT_EQ(summary, (FileSummary{expected.size(), hash64(expected)}));
}

TEST(Safetensors, AFileWithoutTensorsIsValid) {
  TempDir dir;
  write_safetensors(dir / "a", {}, {});
  EXPECT_EQ(read(dir / "a"), file_of("{}      ", ""));
  EXPECT_TRUE(SafetensorsFile(dir / "a").tensors().empty());
}

TEST(Safetensors, DoesNotOverwriteAFile) {
  TempDir dir;
  write(dir / "a", "precious");
  EXPECT_THAT(error_of([&] { write_safetensors(dir / "a", {}, {}); }), AllOf(HasSubstr("cannot create"), HasSubstr("File exists")));
  EXPECT_EQ(read(dir / "a"), "precious");
}

struct Malformed {
  std::string rule, bytes, says;
};

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":)" + entry(dtype, shape, offsets) + "}";
}

std::vector<Malformed> malformed_files() {
  const std::string good = one("F32", "[2]", "[0,8]"), eight(8, 'x');
  const std::string two = R"({"a":)" + entry("U8", "[4]", "[0,4]") + R"(,"b":)";
  return {
      {"no length", "1234", "only 4 bytes"},
      {"header too large", little_endian(100'000'001) + good, "100000001"},
      {"header beyond the file", little_endian(1000) + good, "truncated"},
      {"length that overflows", std::string(8, '\xff') + good, "claims 18446744073709551615"},
      {"leading space", file_of(" " + good, eight), "begin with '{'"},
      {"no object", file_of("[]", ""), "begin with '{'"},
      {"empty header", file_of("", ""), "begin with '{'"},
      {"broken JSON", file_of(good.substr(0, good.size() - 1), eight), "not valid JSON"},
      {"something after the JSON", file_of(good + "{}", eight), "not valid JSON"},
      {"NUL padding", file_of(good + std::string(1, '\0'), eight), "not valid JSON"},
      {"invalid UTF-8", file_of("{\"\xff\":1}", ""), "not valid JSON"},
      {"deep nesting", file_of(R"({"w":)" + std::string(5000, '['), ""), "nested deeper"},
      {"duplicate tensor", file_of(R"({"w":)" + entry("U8", "[0]", "[0,0]") + R"(,"w":)" + entry("U8", "[0]", "[0,0]") + "}", ""),
       "duplicate key 'w'"},
      {"duplicate field", file_of(R"({"w":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", ""), "duplicate key 'dtype'"},
      {"metadata no object", file_of(R"({"__metadata__":[]})", ""), "__metadata__ is not an object"},
      {"metadata value no string", file_of(R"({"__metadata__":{"a":1}})", ""), "not a string"},
      {"entry no object", file_of(R"({"w":3})", ""), "'w': not a valid safetensors file: the entry is not an object"},
      {"field missing", file_of(R"({"w":{"dtype":"F32","shape":[2]}})", eight), "does not consist of"},
      {"field unknown", file_of(R"({"w":{"dtype":"F32","shape":[2],"offsets":[0,8]}})", eight), "'data_offsets' is missing"},
      {"dtype unknown", file_of(one("F8_E4M3", "[8]", "[0,8]"), eight), "unknown dtype 'F8_E4M3'"},
      {"dtype in lower case", file_of(one("f32", "[2]", "[0,8]"), eight), "unknown dtype"},
      {"negative dimension", file_of(one("F32", "[-2]", "[0,8]"), eight), "dimension"},
      {"fractional dimension", file_of(one("F32", "[2.0]", "[0,8]"), eight), "dimension"},
      {"huge dimension", file_of(one("F32", "[18446744073709551615]", "[0,8]"), eight), "dimension"},
      {"number out of range", file_of(one("F32", "[1e999]", "[0,8]"), eight), "out of range"},
      {"shape overflows", file_of(one("F32", "[4294967296,4294967296,4]", "[0,8]"), eight), "overflows"},
      {"one offset", file_of(one("F32", "[2]", "[0]"), eight), "two offsets"},
      {"negative offset", file_of(one("F32", "[2]", "[-8,0]"), eight), "two offsets"},
      {"end before begin", file_of(one("F32", "[2]", "[8,0]"), eight), "before they begin"},
      {"size differs", file_of(one("F32", "[3]", "[0,8]"), eight), "needs 12 bytes, but data_offsets span 8"},
      {"hole at the front", file_of(one("U8", "[4]", "[4,8]"), eight), "a hole"},
      {"hole between", file_of(two + entry("U8", "[3]", "[5,8]") + "}", eight), "a hole"},
      {"overlap", file_of(two + entry("U8", "[5]", "[3,8]") + "}", eight), "an overlap"},
      {"same bytes twice", file_of(two + entry("U8", "[4]", "[0,4]") + "}", eight), "an overlap"},
      {"data truncated", file_of(good, "1234567"), "truncated"},
      {"bytes after the data", file_of(good, "123456789"), "1 bytes follow the last tensor"},
  };
}

TEST(Safetensors, RefusesEveryBrokenRuleByName) {
  TempDir dir;
  const auto path = dir / "m.safetensors";
  for (const Malformed& file : malformed_files()) {
    SCOPED_TRACE(file.rule);
    write(path, file.bytes);
    const std::string message = error_of([&] { SafetensorsFile read(path); });
    EXPECT_THAT(message, AllOf(HasSubstr(path.string()), HasSubstr(file.says)));
  }
}

TEST(Safetensors, AMessageShowsNoControlCharacters) {
  TempDir dir;
  write(dir / "a", file_of(R"({"evil\u001b[2J\n":3})", ""));
  EXPECT_THAT(error_of([&] { SafetensorsFile file(dir / "a"); }), HasSubstr(R"('evil\u001b[2J\n')"));
}

TEST(Safetensors, AMissingFileAndADirectoryAreErrors) {
  TempDir dir;
  EXPECT_THAT(error_of([&] { SafetensorsFile file(dir / "a"); }), HasSubstr("No such file"));
  EXPECT_THAT(error_of([&] { SafetensorsFile file(dir.path()); }), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing
