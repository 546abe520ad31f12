#include "comm/grpc/frame.h"

#include <algorithm>

namespace thinwire::comm {

namespace {
constexpr uint32_t kMagic = 0x31'4c'57'54;  // "TWL1"
constexpr uint64_t kMostWindowBytes = uint64_t{1} << 30;

std::string read_text(ByteReader& reader, const char* field) {
  const auto num_bytes = reader.read<uint32_t>(field);
  if (num_bytes > kMostTextBytes)
    throw CorruptData(std::string("hello: '") + field + "' of " + std::to_string(num_bytes) + " bytes is too long");
  const ConstBytes text = reader.take(num_bytes, field);
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}
}  // namespace

std::array<std::byte, kFrameHeaderBytes> encode(const FrameHeader& header) {
  std::array<std::byte, kFrameHeaderBytes> bytes{};
  bytes[0] = static_cast<std::byte>(header.kind);
  store_le(&bytes[4], header.code);
  store_le(&bytes[8], header.value);
  return bytes;
}

FrameHeader parse_header(ConstBytes header, size_t payload_bytes) {
  using Kind = FrameHeader::Kind;
  ByteReader reader(header, "frame");
  FrameHeader parsed;
  const auto kind = reader.read<uint8_t>("kind");
  const ConstBytes zero = reader.take(3, "reserved");
  parsed.code = reader.read<uint32_t>("code");
  parsed.value = reader.read<uint64_t>("value");
  if (kind < static_cast<uint8_t>(Kind::hello) || kind > static_cast<uint8_t>(Kind::bye)) {
    throw CorruptData("frame: there is no kind " + std::to_string(kind));
  }
  parsed.kind = static_cast<Kind>(kind);
  if (std::any_of(zero.begin(), zero.end(), [](std::byte b) { return b != std::byte{0}; }))
    throw CorruptData("frame: reserved bytes are not zero");
  const bool is_message = parsed.kind == Kind::message, is_part = parsed.kind == Kind::part;
  const bool has_text = parsed.kind == Kind::hello || parsed.kind == Kind::abort;
  const size_t most_bytes = is_message || is_part ? kPartBytes : has_text ? 4 * kMostTextBytes : 0;
  if (payload_bytes > most_bytes || (is_message && payload_bytes > parsed.value) ||
      (is_message && parsed.value > 0 && payload_bytes == 0) || (is_part && (payload_bytes == 0 || parsed.value == 0))) {
    throw CorruptData("frame: a payload of " + std::to_string(payload_bytes) + " bytes does not go with kind " + std::to_string(kind) +
                      " and value " + std::to_string(parsed.value));
  }
  return parsed;
}

std::vector<std::byte> encode(const Hello& hello) {
  const std::string* texts[] = {&hello.session, &hello.line, &hello.host};
  size_t num_bytes = 4 * sizeof(uint32_t) + sizeof(uint64_t);
  for (const auto* text : texts) {
    check(text->size() <= kMostTextBytes, "a hello's texts are short");
    num_bytes += sizeof(uint32_t) + text->size();
  }
  std::vector<std::byte> bytes(num_bytes);
  ByteWriter writer(bytes);
  writer.write(kMagic);
  writer.write(hello.version);
  writer.write(hello.from);
  writer.write(hello.to);
  writer.write(hello.window_bytes);
  for (const auto* text : texts) {
    writer.write(static_cast<uint32_t>(text->size()));
    writer.write(bytes_of(std::string_view(*text)));
  }
  return bytes;
}

Hello parse_hello(ConstBytes payload) {
  ByteReader reader(payload, "hello");
  if (reader.read<uint32_t>("magic") != kMagic) throw CorruptData("hello: it is not Thinwire's");
  Hello hello;
  hello.version = reader.read<uint32_t>("version");
  if (hello.version != kLinkVersion) {
    throw CorruptData("hello: it speaks version " + std::to_string(hello.version) + " of the link, and we speak " +
                      std::to_string(kLinkVersion) + ": all ranks must run the same program");
  }
  hello.from = reader.read<uint32_t>("from");
  hello.to = reader.read<uint32_t>("to");
  hello.window_bytes = reader.read<uint64_t>("window");
  if (hello.window_bytes < kPartBytes + kFrameHeaderBytes || hello.window_bytes > kMostWindowBytes) {
    throw CorruptData("hello: a window of " + std::to_string(hello.window_bytes) + " bytes");
  }
  hello.session = read_text(reader, "session");
  hello.line = read_text(reader, "line");
  hello.host = read_text(reader, "host");
  if (reader.remaining() > 0) throw CorruptData("hello: " + std::to_string(reader.remaining()) + " bytes too many");
  return hello;
}

std::string printable(ConstBytes text) {
  std::string shown(reinterpret_cast<const char*>(text.data()), std::min(text.size(), kMostTextBytes));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = c == '\n' ? ' ' : '?';
  }
  return shown;
}

}  // namespace thinwire::comm
