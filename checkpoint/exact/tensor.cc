#include "checkpoint/exact/tensor.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "base/hash.h"
#include "checkpoint/exact/chunk.h"

namespace thinwire::checkpoint::exact {
namespace {

constexpr uint32_t kMagic = 0x31535754;  // "TWS1"
constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 4 + 1 + 1 + 2 + 8 + 8, kEntryBytes = 4 + 8 + 8, kHashBytes = 8;
constexpr uint16_t kNeedsEarlier = 1;

struct Entry {
  uint32_t coded_bytes = 0;
  uint64_t coded_hash = 0, hash = 0;  // of the chunk's coding, and of its bytes
};

struct Header {
  Facts facts;
  uint64_t row_elems = 0;
  std::vector<Entry> chunks;
  ConstBytes coded;  // of all chunks
};

size_t num_chunks(uint64_t elems) { return static_cast<size_t>(elems / kChunkElems + (elems % kChunkElems != 0 ? 1 : 0)); }

// Work on 0, 1, ..., count - 1, each index by one of the threads with a coder of its own. The first exception is rethrown.
void in_parallel(size_t count, int threads, const std::function<void(size_t, ChunkCoder&)>& work) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto run = [&] {
    try {
      ChunkCoder coder;
      for (size_t i = next++; i < count; i = next++) work(i, coder);
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t t = 1; t < std::min(count, static_cast<size_t>(threads)); ++t) helpers.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

template <class Bytes>
Bytes part_of(Bytes bytes, DType dtype, const Place& place) {
  return bytes.subspan(static_cast<size_t>(place.first_elem) * size_of(dtype), place.elems * size_of(dtype));
}

Chunk chunk_at(DType dtype, uint64_t elems, uint64_t row_elems, size_t index, ConstBytes earlier) {
  const uint64_t first = uint64_t{index} * kChunkElems;
  const Place place{first, row_elems, static_cast<size_t>(std::min<uint64_t>(kChunkElems, elems - first))};
  return {dtype, place, earlier.empty() ? earlier : part_of(earlier, dtype, place)};
}

struct Job {
  size_t tensor = 0, chunk = 0;
  std::vector<std::byte> coded;
  uint64_t hash = 0;
};

std::vector<std::byte> header_of(const Tensor& tensor, std::span<const Job> jobs) {
  const bool needed = std::ranges::any_of(jobs, [](const Job& job) { return needs_earlier(job.coded); });
  std::vector<std::byte> out(kHeaderBytes + jobs.size() * kEntryBytes + kHashBytes);
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

Header parse(ConstBytes coded, const std::string& source) {
  const auto refuse = [&](const std::string& why) { throw CorruptData(source + ": " + why); };
  ByteReader in(coded, source);
  Header header;
  if (in.read<uint32_t>("magic") != kMagic) refuse("this is not an exact coding of a tensor");
  if (const auto version = in.read<uint8_t>("version"); version != kVersion) refuse("version " + std::to_string(version) + " is not known");
  const auto dtype = in.read<uint8_t>("dtype");
  if (dtype > static_cast<uint8_t>(DType::f64)) refuse("dtype " + std::to_string(dtype) + " is not known");
  const auto flags = in.read<uint16_t>("flags");
  header.facts = {static_cast<DType>(dtype), in.read<uint64_t>("elems"), (flags & kNeedsEarlier) != 0};
  header.row_elems = in.read<uint64_t>("row_elems");
  if (num_chunks(header.facts.elems) > in.remaining() / kEntryBytes) refuse("it is too short for the chunks of its elements");
  header.chunks.resize(num_chunks(header.facts.elems));
  uint64_t coded_bytes = 0;
  for (Entry& entry : header.chunks) {
    entry = {in.read<uint32_t>("chunk length"), in.read<uint64_t>("chunk hash"), in.read<uint64_t>("hash")};
    coded_bytes += entry.coded_bytes;
  }
  const size_t table_bytes = in.offset();
  if (in.read<uint64_t>("table hash") != hash64(coded.first(table_bytes))) refuse("its header is damaged");
  if (coded_bytes != in.remaining()) refuse("its chunks do not fill it");
  header.coded = in.take(in.remaining(), "chunks");
  return header;
}

Header parse_expected(const Coded& tensor) {
  Header header = parse(tensor.coded, tensor.source);
  const size_t width = size_of(tensor.dtype);
  if (header.facts.dtype != tensor.dtype || header.facts.elems != tensor.out.size() / width || tensor.out.size() % width != 0) {
    throw CorruptData(tensor.source + ": it holds other elements than are expected");
  }
  if (!tensor.earlier.empty() && tensor.earlier.size() != tensor.out.size()) {
    throw CorruptData(tensor.source + ": the earlier generation has another size");
  }
  return header;
}

struct Piece {
  size_t tensor = 0, chunk = 0, begin = 0;
};

void decode_chunk(const Coded& tensor, const Header& header, size_t index, size_t begin, ChunkCoder& coder) {
  const Entry& entry = header.chunks[index];
  const std::string where = tensor.source + ": chunk " + std::to_string(index);
  const ConstBytes coded = header.coded.subspan(begin, entry.coded_bytes);
  if (hash64(coded) != entry.coded_hash) throw CorruptData(where + " is damaged");
  const Chunk chunk = chunk_at(tensor.dtype, header.facts.elems, header.row_elems, index, tensor.earlier);
  const MutableBytes out = part_of(tensor.out, tensor.dtype, chunk.place);
  try {
    coder.decode(chunk, coded, out);
  } catch (const CorruptData& e) {
    throw CorruptData(where + ": " + e.what());
  }
  if (hash64(ConstBytes(out)) == entry.hash) return;
  const char* why = needs_earlier(coded) ? ": the earlier generation is another one" : "";
  throw CorruptData(where + " gives other bytes than were saved" + why);
}

}  // namespace

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
    const Chunk chunk = chunk_at(tensor.dtype, elems, tensor.row_elems, job.chunk, tensor.earlier);
    const ConstBytes bytes = part_of(tensor.bytes, tensor.dtype, chunk.place);
    const ConstBytes coded = coder.encode(chunk, bytes);
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

std::vector<std::byte> joined(const Parts& parts) {
  std::vector<std::byte> bytes;
  bytes.reserve(num_bytes(parts));
  for (const auto& part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

Facts inspect(ConstBytes coded, const std::string& source) { return parse(coded, source).facts; }

void decode(const std::vector<Coded>& tensors, int threads) {
  std::vector<Header> headers;
  std::vector<Piece> pieces;
  for (size_t t = 0; t < tensors.size(); ++t) {
    headers.push_back(parse_expected(tensors[t]));
    size_t begin = 0;
    for (size_t c = 0; c < headers[t].chunks.size(); begin += headers[t].chunks[c++].coded_bytes) pieces.push_back({t, c, begin});
  }
  in_parallel(pieces.size(), threads, [&](size_t i, ChunkCoder& coder) {
    const auto [t, c, begin] = pieces[i];
    decode_chunk(tensors[t], headers[t], c, begin, coder);
  });
}

}  // namespace thinwire::checkpoint::exact
