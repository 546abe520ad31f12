#include "checkpoint/extreme/tensor.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "base/hash.h"

namespace thinwire::checkpoint::extreme {
namespace {

constexpr std::string_view kMagic = "TWX1";
constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 4 + 4 + 8 + 4, kHashBytes = 8, kCentresBytes = 2 * kCentres;

void restore(Kind kind, const Centres& centres, std::span<const uint8_t> indices, std::span<const float> before, std::span<float> out) {
  check(kind == Kind::values || before.size() == out.size(), "differences are from something");
  for (size_t i = 0; i < out.size(); ++i) {
    const float centre = from_bf16(centres[indices[i]]);
    out[i] = kind == Kind::values ? centre : before[i] + centre;
  }
}

Surroundings with_sign(Surroundings around, const Centres& centres) {
  around.positive = 1;
  while (around.positive < kCentres && from_bf16(centres[around.positive]) <= 0) ++around.positive;
  return around;
}

float furthest(std::span<const float> a, std::span<const float> b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(static_cast<double>(a[i]) - b[i]));
  const float rounded = static_cast<float>(most);
  return rounded < most ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

Centres read_centres(ByteReader& in) {
  Centres centres;
  for (uint16_t& centre : centres) {
    centre = in.read<uint16_t>("centre");
    if (!std::isfinite(from_bf16(centre))) throw CorruptData("a centre is not finite");
  }
  return centres;
}

}  // namespace

uint64_t table_bytes(uint64_t elems) { return kHeaderBytes + uint64_t{exact::num_chunks(elems)} * exact::kChunkEntryBytes + kHashBytes; }

Table parse_table(ConstBytes front, uint64_t coded_bytes, uint64_t elems, const std::string& source) {
  const std::string where = source + ": extreme coding";
  const auto refuse = [&](const std::string& why) { throw CorruptData(where + ": " + why); };
  ByteReader in(front, std::string_view(where));
  if (!std::ranges::equal(in.take(kMagic.size(), "magic"), bytes_of(kMagic))) refuse("it does not begin with TWX1");
  const auto version = in.read<uint8_t>("version"), kind = in.read<uint8_t>("kind"), guide = in.read<uint8_t>("guide"),
             zero = in.read<uint8_t>("zero");
  if (version != kVersion || kind > 1 || guide > 1 || zero != 0) refuse("an unknown version or kind");
  Table table{{static_cast<Kind>(kind), 0}, guide != 0, in.read<uint64_t>("elements"), {}};
  table.form.off_by = in.read<float>("distance");
  if (table.elems != elems) refuse("it holds other elements than are expected");
  if (!(table.form.off_by >= 0) || !std::isfinite(table.form.off_by)) refuse("its elements are off by something that is no distance");
  table.chunks = exact::read_chunk_entries(in, front, elems, coded_bytes, where);
  return table;
}

CodedChunk encode_chunk(Kind kind, const Centres& centres, std::span<const uint8_t> indices, const Surroundings& around,
                        std::span<const float> values, std::span<const float> before) {
  CodedChunk chunk;
  chunk.coded.resize(kCentresBytes);
  ByteWriter writer(chunk.coded);
  for (const uint16_t centre : centres) writer.write(centre);
  IndexModel().encode(indices, with_sign(around, centres), chunk.coded);
  std::vector<float> decoded(values.size());
  restore(kind, centres, indices, before, decoded);
  chunk.hash = hash64(std::as_bytes(std::span(decoded)));
  chunk.off_by = furthest(values, decoded);
  return chunk;
}

std::vector<std::byte> joined(Kind kind, bool has_guide, uint64_t elems, const std::vector<CodedChunk>& chunks) {
  check(chunks.size() == exact::num_chunks(elems), "a chunk for each chunk");
  size_t coded_bytes = static_cast<size_t>(table_bytes(elems));
  float off_by = 0;
  for (const CodedChunk& chunk : chunks) {
    coded_bytes += chunk.coded.size();
    off_by = std::max(off_by, chunk.off_by);
  }
  std::vector<std::byte> out(coded_bytes);
  ByteWriter writer(out);
  writer.write(bytes_of(kMagic));
  for (const uint8_t byte : {kVersion, static_cast<uint8_t>(kind), static_cast<uint8_t>(has_guide ? 1 : 0), uint8_t{0}}) writer.write(byte);
  writer.write(elems);
  writer.write(off_by);
  for (const CodedChunk& chunk : chunks) {
    writer.write(static_cast<uint32_t>(chunk.coded.size()));
    writer.write(hash64(ConstBytes(chunk.coded)));
    writer.write(chunk.hash);
  }
  writer.write(hash64(ConstBytes(out).first(writer.offset())));
  for (const CodedChunk& chunk : chunks) writer.write(ConstBytes(chunk.coded));
  return out;
}

void decode_chunk(const Table& table, size_t index, ConstBytes coded, const Surroundings& around, std::span<const float> before,
                  std::span<uint8_t> indices, std::span<float> out, const std::string& source) {
  const Table::Entry& entry = table.chunks[index];
  const std::string where = source + ": chunk " + std::to_string(index);
  if (hash64(coded) != entry.coded_hash) throw CorruptData(where + " is damaged");
  try {
    ByteReader in(coded, "a chunk");
    const Centres centres = read_centres(in);
    IndexModel().decode(in.take(in.remaining(), "indices"), with_sign(around, centres), indices);
    restore(table.form.kind, centres, indices, before, out);
  } catch (const CorruptData& e) {
    throw CorruptData(where + ": " + e.what());
  }
  if (hash64(std::as_bytes(out)) != entry.hash)
    throw CorruptData(where + " gives other numbers than were saved: its base or guide is another one");
}

}  // namespace thinwire::checkpoint::extreme
