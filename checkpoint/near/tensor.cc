#include "checkpoint/near/tensor.h"

#include "base/hash.h"

namespace thinwire::checkpoint::near {
namespace {

constexpr std::string_view kMagic = "TWN1";
constexpr uint8_t kVersion = 1;

template <class T>
void append(std::vector<std::byte>& out, T value) {
  out.resize(out.size() + sizeof value);
  store_le(out.data() + out.size() - sizeof value, value);
}

void append(std::vector<std::byte>& out, ConstBytes bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

exact::Table parse_part(ConstBytes front, uint64_t bytes, DType dtype, uint64_t elems, const std::string& source) {
  exact::Table table = exact::parse_table(front, bytes, source);
  if (table.facts.dtype != dtype || table.facts.elems != elems || table.facts.needs_earlier) {
    throw CorruptData(source + ": it is coded otherwise than its header says");
  }
  return table;
}

}  // namespace

std::vector<std::byte> joined(const Form& form, uint64_t elems, const exact::Parts& levels, const exact::Parts& scales) {
  std::vector<std::byte> out;
  out.reserve(kHeaderBytes + exact::num_bytes(levels) + exact::num_bytes(scales));
  append(out, bytes_of(kMagic));
  for (const uint8_t byte : {kVersion, static_cast<uint8_t>(form.of), static_cast<uint8_t>(form.bits), uint8_t{0}}) append(out, byte);
  append(out, elems);
  append(out, uint64_t{exact::num_bytes(levels)});
  append(out, hash64(ConstBytes(out)));
  for (const exact::Parts* parts : {&levels, &scales}) {
    for (const auto& part : *parts) append(out, ConstBytes(part));
  }
  return out;
}

uint64_t least_bytes(uint64_t elems) { return kHeaderBytes + exact::table_bytes(elems) + exact::table_bytes(num_blocks(elems)); }

Header parse_header(ConstBytes front, uint64_t coded_bytes, uint64_t elems, const std::string& source) {
  const std::string where = source + ": near-exact coding";
  ByteReader in(front, std::string_view(where));
  const ConstBytes magic = in.take(kMagic.size(), "magic");
  if (!std::ranges::equal(magic, bytes_of(kMagic))) throw CorruptData(where + ": it does not begin with TWN1");
  const auto version = in.read<uint8_t>("version"), of = in.read<uint8_t>("form"), bits = in.read<uint8_t>("bits"),
             zero = in.read<uint8_t>("zero");
  Header header;
  header.elems = in.read<uint64_t>("elements");
  header.levels_bytes = in.read<uint64_t>("length of levels");
  const uint64_t hash = hash64(front.first(in.offset()));
  if (in.read<uint64_t>("hash") != hash) throw CorruptData(where + ": its header is damaged");
  if (version != kVersion || of > 1 || (bits != 8 && bits != 4) || zero != 0) throw CorruptData(where + ": an unknown version or form");
  header.form = {static_cast<Form::Of>(of), bits};
  if (header.elems != elems) throw CorruptData(where + ": it holds other elements than are expected");
  if (coded_bytes < kHeaderBytes || header.levels_bytes > coded_bytes - kHeaderBytes)
    throw CorruptData(where + ": its levels do not fit it");
  header.scales_bytes = coded_bytes - kHeaderBytes - header.levels_bytes;
  if (header.levels_bytes < exact::table_bytes(elems) || header.scales_bytes < exact::table_bytes(num_blocks(elems)))
    throw CorruptData(where + ": it is too short for its elements");
  return header;
}

exact::Table parse_levels(const Header& header, ConstBytes front, const std::string& source) {
  return parse_part(front, header.levels_bytes, DType::u8, header.elems, source + ": levels");
}

exact::Table parse_scales(const Header& header, ConstBytes front, const std::string& source) {
  return parse_part(front, header.scales_bytes, DType::f32, num_blocks(header.elems), source + ": scales");
}

}  // namespace thinwire::checkpoint::near
