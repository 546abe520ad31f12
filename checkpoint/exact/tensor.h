// Exact coding of tensors: every byte comes back, in fewer bytes. A header, a table of chunks, the chunks (docs/formats/checkpoint.md).
//
// Safe from any thread; the threads that coding uses are its own and gone when it returns.
#pragma once
#include <concepts>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "checkpoint/exact/chunk.h"

namespace thinwire::checkpoint::exact {

// An earlier generation of a tensor, as long as it: none, in memory that stays the caller's, or read chunk by chunk, from any thread.
class Earlier {
 public:
  using Read = std::function<void(size_t chunk, ChunkCoder& coder, MutableBytes into)>;
  Earlier() = default;
  template <class Bytes>
  requires std::convertible_to<const Bytes&, ConstBytes> Earlier(const Bytes& bytes) : memory_(bytes) {}
  Earlier(Read read) : read_(std::move(read)) {}

  ConstBytes memory() const { return memory_; }
  // The bytes of a chunk, or none. They may come to lie in `room`.
  ConstBytes chunk(size_t index, DType dtype, const Place& place, ChunkCoder& coder, std::vector<std::byte>& room) const;

 private:
  ConstBytes memory_;
  Read read_;
};

struct Tensor {
  DType dtype = DType::f32;
  uint64_t row_elems = 0;  // of the last dimension, or of all but the first; 0 where there are no rows
  ConstBytes bytes;
  Earlier earlier = {};
  double least_gain = 0;  // chunk.h
};

// A coding in parts: the header and each chunk, to be stored one after another.
using Parts = std::vector<std::vector<std::byte>>;

// One coding for each tensor, the same for every number of threads. Holds all of them in memory.
std::vector<Parts> encode(const std::vector<Tensor>& tensors, int threads);
size_t num_bytes(const Parts& parts);
bool needs_earlier(const Parts& parts);
std::vector<std::byte> joined(const Parts& parts);

// What a coding claims to be.
struct Facts {
  DType dtype = DType::f32;
  uint64_t elems = 0;
  bool needs_earlier = false;
};

// A chunk, as tables have it: of this coding, and of extreme/tensor.h.
struct ChunkEntry {
  uint64_t begin = 0;  // of the chunk's coding, counted from the end of the table
  uint32_t coded_bytes = 0;
  uint64_t coded_hash = 0, hash = 0;  // of the chunk's coding, and of its bytes
};
inline constexpr size_t kChunkEntryBytes = 4 + 8 + 8;
// The end of a table of which `in` has read what stands before its chunks: their entries, and the hash of all from the beginning of
// `front`. CorruptData names `where`, and when these are not the chunks of so many elements, or do not fill coded_bytes together with the
// table.
std::vector<ChunkEntry> read_chunk_entries(ByteReader& in, ConstBytes front, uint64_t elems, uint64_t coded_bytes,
                                           const std::string& where);

// What stands before the chunks.
struct Table {
  using Entry = ChunkEntry;
  Facts facts;
  uint64_t row_elems = 0;
  std::vector<Entry> chunks;
};
size_t num_chunks(uint64_t elems);
Place place_of(size_t chunk, uint64_t elems, uint64_t row_elems);
uint64_t table_bytes(uint64_t elems);  // header and table; no coding of so many elements is shorter

// Of a coding of `coded_bytes` that begins with `front`, which holds the table at least. Checked against its own hash and the length:
// nothing is allocated that `front` is not long enough for. CorruptData begins with `source`.
Table parse_table(ConstBytes front, uint64_t coded_bytes, const std::string& source);

// Fills `out`, of the chunk's size, after the hash of its coding was checked, and checks the hash of what comes out. `earlier` is what it
// was coded against, as long; or empty. CorruptData begins with `source` and the chunk.
void decode_chunk(const Table& table, size_t index, ConstBytes coded, ConstBytes earlier, ChunkCoder& coder, MutableBytes out,
                  const std::string& source);

struct Coded {
  ConstBytes coded;
  DType dtype = DType::f32;  // what is expected, as is the size of out
  ConstBytes earlier;        // what `coded` was coded against; or empty
  MutableBytes out;
  std::string source;  // for messages
};

// The bytes of all tensors. Checked are the hash of each chunk's coding and that of its bytes, so that damage, another dtype or size, and
// another earlier generation are told: CorruptData begins with the tensor's source, and then all `out` hold anything.
void decode(const std::vector<Coded>& tensors, int threads);

}  // namespace thinwire::checkpoint::exact
