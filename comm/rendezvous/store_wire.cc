#include "comm/rendezvous/store_wire.h"

#include <charconv>

#include "comm/rendezvous/store.h"

namespace thinwire::comm {

namespace {
constexpr uint32_t kMagic = 0x31'53'57'54;  // "TWS1"
constexpr size_t kMostRunBytes = 1024;

std::string read_text(ByteReader& reader, const char* field, size_t most_bytes) {
  const auto num_bytes = reader.read<uint32_t>(field);
  if (num_bytes > most_bytes)
    throw CorruptData(std::string("store: '") + field + "' of " + std::to_string(num_bytes) + " bytes is too long");
  const ConstBytes text = reader.take(num_bytes, field);
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

void require_end(const ByteReader& reader) {
  if (reader.remaining() > 0) throw CorruptData("store: " + std::to_string(reader.remaining()) + " bytes too many");
}

uint32_t read_kind(ByteReader& reader, uint32_t last) {
  if (reader.read<uint32_t>("magic") != kMagic) throw CorruptData("store: it is not Thinwire's, or of another version");
  const auto kind = reader.read<uint32_t>("kind");
  if (kind < 1 || kind > last) throw CorruptData("store: there is no kind " + std::to_string(kind));
  return kind;
}

std::vector<std::byte> encode_texts(uint32_t kind, std::initializer_list<const std::string*> texts) {
  size_t num_bytes = 2 * sizeof(uint32_t);
  for (const auto* text : texts) num_bytes += sizeof(uint32_t) + text->size();
  std::vector<std::byte> bytes(num_bytes);
  ByteWriter writer(bytes);
  writer.write(kMagic);
  writer.write(kind);
  for (const auto* text : texts) {
    writer.write(static_cast<uint32_t>(text->size()));
    writer.write(bytes_of(std::string_view(*text)));
  }
  return bytes;
}
}  // namespace

std::vector<std::byte> encode(const StoreRequest& request) {
  return encode_texts(static_cast<uint32_t>(request.kind), {&request.run, &request.key, &request.value});
}

StoreRequest parse_store_request(ConstBytes bytes) {
  ByteReader reader(bytes, "store request");
  StoreRequest request;
  request.kind = static_cast<StoreRequest::Kind>(read_kind(reader, 3));
  request.run = read_text(reader, "run", kMostRunBytes);
  request.key = read_text(reader, "key", kMostKeyBytes);
  request.value = read_text(reader, "value", kMostValueBytes);
  require_end(reader);
  return request;
}

std::vector<std::byte> encode(const StoreReply& reply) { return encode_texts(static_cast<uint32_t>(reply.kind), {&reply.text}); }

StoreReply parse_store_reply(ConstBytes bytes) {
  ByteReader reader(bytes, "store reply");
  StoreReply reply;
  reply.kind = static_cast<StoreReply::Kind>(read_kind(reader, 3));
  reply.text = read_text(reader, "text", kMostValueBytes);
  require_end(reader);
  return reply;
}

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace thinwire::comm
