#include "checkpoint/exact/tensor.h"

#include <algorithm>

#include "base/hash.h"
#include "checkpoint/exact/parallel.h"

namespace thinwire::checkpoint::exact {
namespace {

constexpr uint32_t kMagic = 0x31535754;  // "TWS1"
constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 4 + 1 + 1 + 2 + 8 + 8, kHashBytes = 8;
constexpr uint16_t kNeedsEarlier = 1;

template <class Bytes>
Bytes part_of(Bytes bytes, DType dtype, const Place& place) {
  return bytes.subspan(static_cast<size_t>(place.first_elem) * size_of(dtype), place.elems * size_of(dtype));
}

struct Job {
  size_t tensor = 0, chunk = 0;
  std::vector<std::byte> coded;
  uint64_t hash = 0;
};

std::vector<std::byte> header_of(const Tensor& tensor, std::span<const Job> jobs) {
  const bool needed = std::ranges::any_of(jobs, [](const Job& job) { return needs_earlier(job.coded); });
  std::vector<std::byte> out(kHeaderBytes + jobs.size() * kChunkEntryBytes + kHashBytes);
  ByteWriter writer(out);
  writer.write(kMagic);
  writer.write(kVersion);
  writer.write(static_cast<uint8_t>(tensor.dtype));
  writer.write(needed ? kNeedsEarlier : uint16_t{0});
  writer.write(uint64_t{tensor.bytes.size() / size_of(tensor.dtype)});
  writer.write(tensor.row_elems);
  for (const Job& job : jobs) {
    writer.write(static_cast<uint32_t>(job.coded.size()));
    writer.write(hash64(ConstBytes(job.coded)));
    writer.write(job.hash);
  }
  writer.write(hash64(ConstBytes(out).first(writer.offset())));
  return out;
}

void check_expected(const Table& table, const Coded& tensor) {
  const size_t width = size_of(tensor.dtype);
  if (table.facts.dtype != tensor.dtype || table.facts.elems != tensor.out.size() / width || tensor.out.size() % width != 0) {
    throw CorruptData(tensor.source + ": it holds other elements than are expected");
  }
  if (!tensor.earlier.empty() && tensor.earlier.size() != tensor.out.size()) {
    throw CorruptData(tensor.source + ": the earlier generation has another size");
  }
}

}  // namespace

ConstBytes Earlier::chunk(size_t index, DType dtype, const Place& place, ChunkCoder& coder, std::vector<std::byte>& room) const {
  if (!memory_.empty()) return part_of(memory_, dtype, place);
  if (!read_) return {};
  room.resize(place.elems * size_of(dtype));
  read_(index, coder, room);
  return room;
}

std::vector<Parts> encode(const std::vector<Tensor>& tensors, int threads) {
  std::vector<Job> jobs;
  std::vector<size_t> first_job;
  for (size_t t = 0; t < tensors.size(); ++t) {
    first_job.push_back(jobs.size());
    for (size_t c = 0; c < num_chunks(tensors[t].bytes.size() / size_of(tensors[t].dtype)); ++c) jobs.push_back({t, c, {}, 0});
  }
  first_job.push_back(jobs.size());
  in_parallel(jobs.size(), threads, [&](size_t i, ChunkCoder& coder) {
    Job& job = jobs[i];
    const Tensor& tensor = tensors[job.tensor];
    const uint64_t elems = tensor.bytes.size() / size_of(tensor.dtype);
    const Place place = place_of(job.chunk, elems, tensor.row_elems);
    const ConstBytes bytes = part_of(tensor.bytes, tensor.dtype, place);
    std::vector<std::byte> room;
    const ConstBytes earlier = tensor.earlier.chunk(job.chunk, tensor.dtype, place, coder, room);
    const ConstBytes coded = coder.encode({tensor.dtype, place, earlier, tensor.least_gain}, bytes);
    job.coded.assign(coded.begin(), coded.end());
    job.hash = hash64(bytes);
  });
  std::vector<Parts> coded(tensors.size());
  for (size_t t = 0; t < tensors.size(); ++t) {
    const std::span<Job> own = std::span(jobs).subspan(first_job[t], first_job[t + 1] - first_job[t]);
    coded[t].push_back(header_of(tensors[t], own));
    for (Job& job : own) coded[t].push_back(std::move(job.coded));
  }
  return coded;
}

size_t num_bytes(const Parts& parts) {
  size_t bytes = 0;
  for (const auto& part : parts) bytes += part.size();
  return bytes;
}

bool needs_earlier(const Parts& parts) {
  return std::any_of(parts.begin() + 1, parts.end(), [](const auto& chunk) { return needs_earlier(ConstBytes(chunk)); });
}

std::vector<std::byte> joined(const Parts& parts) {
  std::vector<std::byte> bytes;
  bytes.reserve(num_bytes(parts));
  for (const auto& part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

size_t num_chunks(uint64_t elems) { return static_cast<size_t>(elems / kChunkElems + (elems % kChunkElems != 0 ? 1 : 0)); }
uint64_t table_bytes(uint64_t elems) { return kHeaderBytes + uint64_t{num_chunks(elems)} * kChunkEntryBytes + kHashBytes; }
Place place_of(size_t chunk, uint64_t elems, uint64_t row_elems) {
  const uint64_t first = uint64_t{chunk} * kChunkElems;
  return {first, row_elems, static_cast<size_t>(std::min<uint64_t>(kChunkElems, elems - first))};
}

std::vector<ChunkEntry> read_chunk_entries(ByteReader& in, ConstBytes front, uint64_t elems, uint64_t coded_bytes,
                                           const std::string& where) {
  const auto refuse = [&](const char* why) { throw CorruptData(where + ": " + why); };
  if (num_chunks(elems) > in.remaining() / kChunkEntryBytes) refuse("it is too short for the chunks of its elements");
  std::vector<ChunkEntry> chunks(num_chunks(elems));
  uint64_t begin = 0;
  for (ChunkEntry& entry : chunks) {
    entry = {begin, in.read<uint32_t>("chunk length"), in.read<uint64_t>("chunk hash"), in.read<uint64_t>("hash")};
    begin += entry.coded_bytes;
  }
  const size_t hashed_bytes = in.offset();
  if (in.read<uint64_t>("table hash") != hash64(front.first(hashed_bytes))) refuse("its header is damaged");
  if (coded_bytes < in.offset() || begin != coded_bytes - in.offset()) refuse("its chunks do not fill it");
  return chunks;
}

Table parse_table(ConstBytes front, uint64_t coded_bytes, const std::string& source) {
  const auto refuse = [&](const std::string& why) { throw CorruptData(source + ": " + why); };
  ByteReader in(front, source);
  Table table;
  if (in.read<uint32_t>("magic") != kMagic) refuse("this is not an exact coding of a tensor");
  if (const auto version = in.read<uint8_t>("version"); version != kVersion) refuse("version " + std::to_string(version) + " is not known");
  const auto dtype = in.read<uint8_t>("dtype");
  if (dtype > static_cast<uint8_t>(DType::f64)) refuse("dtype " + std::to_string(dtype) + " is not known");
  const auto flags = in.read<uint16_t>("flags");
  table.facts = {static_cast<DType>(dtype), in.read<uint64_t>("elems"), (flags & kNeedsEarlier) != 0};
  table.row_elems = in.read<uint64_t>("row_elems");
  table.chunks = read_chunk_entries(in, front, table.facts.elems, coded_bytes, source);
  return table;
}

void decode_chunk(const Table& table, size_t index, ConstBytes coded, ConstBytes earlier, ChunkCoder& coder, MutableBytes out,
                  const std::string& source) {
  const Table::Entry& entry = table.chunks[index];
  const std::string where = source + ": chunk " + std::to_string(index);
  if (hash64(coded) != entry.coded_hash) throw CorruptData(where + " is damaged");
  try {
    coder.decode({table.facts.dtype, place_of(index, table.facts.elems, table.row_elems), earlier}, coded, out);
  } catch (const CorruptData& e) {
    throw CorruptData(where + ": " + e.what());
  }
  if (hash64(ConstBytes(out)) == entry.hash) return;
  const char* why = needs_earlier(coded) ? ": the earlier generation is another one" : "";
  throw CorruptData(where + " gives other bytes than were saved" + why);
}

void decode(const std::vector<Coded>& tensors, int threads) {
  struct Piece {
    size_t tensor, chunk;
  };
  std::vector<Table> tables;
  std::vector<Piece> pieces;
  for (size_t t = 0; t < tensors.size(); ++t) {
    tables.push_back(parse_table(tensors[t].coded, tensors[t].coded.size(), tensors[t].source));
    check_expected(tables[t], tensors[t]);
    for (size_t c = 0; c < tables[t].chunks.size(); ++c) pieces.push_back({t, c});
  }
  in_parallel(pieces.size(), threads, [&](size_t i, ChunkCoder& coder) {
    const Coded& tensor = tensors[pieces[i].tensor];
    const Table& table = tables[pieces[i].tensor];
    const Table::Entry& entry = table.chunks[pieces[i].chunk];
    const Place place = place_of(pieces[i].chunk, table.facts.elems, table.row_elems);
    const ConstBytes coded = tensor.coded.subspan(table_bytes(table.facts.elems) + entry.begin, entry.coded_bytes);
    const ConstBytes earlier = tensor.earlier.empty() ? tensor.earlier : part_of(tensor.earlier, tensor.dtype, place);
    decode_chunk(table, pieces[i].chunk, coded, earlier, coder, part_of(tensor.out, tensor.dtype, place), tensor.source);
  });
}

}  // namespace thinwire::checkpoint::exact
