// Extreme decoding of a tensor, of any bytes: finite numbers or CorruptData. The first byte: bit 0 mends the hashes, so that mutations get
// past them, bit 1 brings a guide, bit 2 an earlier generation; the second byte is the row's length, the next four are the number of
// elements that a reader expects.
#include <cmath>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/extreme/family.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

namespace extreme = checkpoint::extreme;

constexpr size_t kFlagsBytes = 6, kHeaderBytes = 20, kEntryBytes = 20, kHashBytes = 8;  // docs/formats/checkpoint.md
constexpr uint64_t kChunkElems = uint64_t{1} << 18, kMostElems = 2 * kChunkElems;

std::vector<uint8_t> some_indices(uint64_t elems, uint64_t seed) {
  std::vector<uint8_t> indices(static_cast<size_t>(elems));
  const Draw draw(seed);
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<uint8_t>(draw.below(i, 3) == 0 ? 0 : draw.below(i, 16));
  return indices;
}

void mend(MutableBytes coded, uint64_t elems) {
  const size_t chunks = static_cast<size_t>((elems + kChunkElems - 1) / kChunkElems), hashed = kHeaderBytes + chunks * kEntryBytes;
  if (coded.size() < hashed + kHashBytes) return;
  size_t at = hashed + kHashBytes;
  for (size_t c = 0; c < chunks; ++c) {
    std::byte* entry = coded.data() + kHeaderBytes + c * kEntryBytes;
    const size_t left = coded.size() - at, length = c + 1 == chunks ? left : std::min<size_t>(load_le<uint32_t>(entry), left);
    store_le(entry, static_cast<uint32_t>(length));
    store_le(entry + 4, hash64(ConstBytes(coded).subspan(at, length)));
    at += length;
  }
  store_le(coded.data() + hashed, hash64(ConstBytes(coded).first(hashed)));
}

struct Case {
  uint64_t elems, row_elems;
  bool mends, has_guide, has_earlier;
};

// A reader's way, chunk by chunk. Where a mutation changed the numbers the last hash refuses them, as it must.
void decode(ConstBytes coded, const Case& how) {
  const std::string source = "a file";
  const extreme::Table table = extreme::parse_table(coded, coded.size(), how.elems, source);
  const auto guide = some_indices(how.has_guide ? how.elems : 0, 1), earlier = some_indices(how.has_earlier ? how.elems : 0, 2);
  const std::vector<float> before(static_cast<size_t>(how.elems), 1.0f);
  for (size_t c = 0; c < table.chunks.size(); ++c) {
    const size_t begin = c * kChunkElems, count = std::min<size_t>(kChunkElems, before.size() - begin);
    const auto part = [&](const std::vector<uint8_t>& map) {
      return map.empty() ? std::span<const uint8_t>() : std::span(map).subspan(begin, count);
    };
    std::vector<uint8_t> indices(count);
    std::vector<float> out(count);
    const auto around = extreme::surroundings(c, how.row_elems, table.form.kind, part(guide), {}, part(earlier));
    const ConstBytes chunk =
        coded.subspan(static_cast<size_t>(extreme::table_bytes(how.elems) + table.chunks[c].begin), table.chunks[c].coded_bytes);
    extreme::decode_chunk(table, c, chunk, around, std::span(before).subspan(begin, count), indices, out, source);
    for (const uint8_t index : indices) require(index < extreme::kCentres, "an index is of a centre");
    for (const float x : out) require(std::isfinite(x), "what is decoded is finite");
  }
}

void run(ConstBytes input) {
  if (input.size() < kFlagsBytes) return;
  const auto flags = static_cast<unsigned>(input[0]);
  const Case how{load_le<uint32_t>(input.data() + 2), static_cast<unsigned>(input[1]), (flags & 1) != 0, (flags & 2) != 0,
                 (flags & 4) != 0};
  if (how.elems > kMostElems) return;
  Bytes coded(input.begin() + kFlagsBytes, input.end());
  if (how.mends) mend(coded, how.elems);
  try {
    decode(coded, how);
  } catch (const CorruptData& error) {
    require(std::string(error.what()).starts_with("a file"), "the message says where the bytes are from");
  }
}

Bytes seed_of(unsigned flags, uint8_t row_elems, uint32_t elems) {
  const auto indices = some_indices(elems, 3), guide = some_indices((flags & 2) != 0 ? elems : 0, 1),
             earlier = some_indices((flags & 4) != 0 ? elems : 0, 2);
  extreme::Centres centres{};
  for (size_t i = 1; i < centres.size(); ++i) centres[i] = to_bf16(static_cast<float>(i) - 8);
  const auto kind = (flags & 4) != 0 ? extreme::Kind::differences : extreme::Kind::values;
  std::vector<uint8_t> coded_indices = indices;
  for (size_t i = 0; i < guide.size() && kind == extreme::Kind::values; ++i) coded_indices[i] = guide[i] == 0 ? uint8_t{0} : indices[i];
  const std::vector<float> values(elems, 1.0f);
  std::vector<extreme::CodedChunk> chunks;
  if (elems > 0)
    chunks.push_back(
        extreme::encode_chunk(kind, centres, coded_indices, extreme::surroundings(0, row_elems, kind, guide, {}, earlier), values, values));
  Bytes input(kFlagsBytes);
  input[0] = static_cast<std::byte>(flags);
  input[1] = static_cast<std::byte>(row_elems);
  store_le(input.data() + 2, elems);
  const Bytes coded = extreme::joined(kind, (flags & 2) != 0, elems, chunks);
  input.insert(input.end(), coded.begin(), coded.end());
  return input;
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds;
  for (const unsigned flags : {0u, 1u, 3u, 5u, 7u}) {
    for (const uint32_t elems : {0u, 1u, 300u}) seeds.push_back(seed_of(flags, 16, elems));
  }
  return seeds;
}

}  // namespace

Target extreme_target() { return {"extreme", run, seeds}; }

}  // namespace thinwire::fuzz
