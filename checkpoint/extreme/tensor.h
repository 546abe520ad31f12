// Extreme coding of a tensor of fp32: each element is one of 16 centres, or what the tensor was in the base plus one of them. A header, a
// table of chunks, the chunks (docs/formats/checkpoint.md). A chunk holds its 16 centres and a map of indices (index_model.h).
//
// Decoding is one addition in fp32, rounded to nearest, or none: the same bits on every machine. The hash of each decoded chunk tells
// whether base and guide were those that it was coded with.
#pragma once
#include <string>
#include <vector>

#include "checkpoint/exact/chunk.h"
#include "checkpoint/exact/tensor.h"
#include "checkpoint/extreme/centres.h"
#include "checkpoint/extreme/index_model.h"

namespace thinwire::checkpoint::extreme {

enum class Kind : uint8_t { values = 0, differences = 1 };  // persisted: never renumber. differences: from the tensor in the base

struct Form {
  Kind kind = Kind::values;
  float off_by = 0;  // the most that an element is off by; finite, not negative
  bool operator==(const Form&) const = default;
};

struct Table {
  using Entry = exact::ChunkEntry;  // hash: of the chunk's elements
  Form form;
  bool has_guide = false;
  uint64_t elems = 0;
  std::vector<Entry> chunks;  // of exact::kChunkElems elements
};
uint64_t table_bytes(uint64_t elems);  // no coding of so many elements is shorter

// Of a coding of `coded_bytes` of a tensor of `elems`, which begins with `front`. Checked against its own hash, the length and what is
// expected; nothing is allocated that `front` is not long enough for. CorruptData begins with `source`.
Table parse_table(ConstBytes front, uint64_t coded_bytes, uint64_t elems, const std::string& source);

struct CodedChunk {
  std::vector<std::byte> coded;
  uint64_t hash = 0;
  float off_by = 0;
};
// `before`: as long as `values` where the kind asks for it.
CodedChunk encode_chunk(Kind kind, const Centres& centres, std::span<const uint8_t> indices, const Surroundings& around,
                        std::span<const float> values, std::span<const float> before);
std::vector<std::byte> joined(Kind kind, bool has_guide, uint64_t elems, const std::vector<CodedChunk>& chunks);

// Fills `indices` and `out`, of the chunk's size. CorruptData begins with `source` and the chunk.
void decode_chunk(const Table& table, size_t index, ConstBytes coded, const Surroundings& around, std::span<const float> before,
                  std::span<uint8_t> indices, std::span<float> out, const std::string& source);

}  // namespace thinwire::checkpoint::extreme
