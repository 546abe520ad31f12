#include "checkpoint/tensor_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {

TensorReader::TensorReader(const SafetensorsFile& file, const std::string& name, const StoredTensor& tensor,
                           std::shared_ptr<const TensorReader> base)
    : file_(file),
      tensor_(tensor),
      source_(fmt::format("{}: tensor {}", file.path().string(), in_quotes(name))),
      elems_(*checkpoint::num_bytes(tensor.dtype, tensor.shape) / size_of(tensor.dtype)) {
  if (tensor.coding == Coding::none) return;
  std::vector<std::byte> front(exact::table_bytes(elems_));  // stored_tensors() has seen that the file holds so many
  file_.read(tensor_.entry, 0, front);
  try {
    table_ = exact::parse_table(front, tensor_.stored_bytes(), source_);
  } catch (const CorruptData& e) {
    throw CheckpointError(e.what());
  }
  const auto& [dtype, elems, needs_base] = table_.facts;
  if (dtype != tensor.dtype || elems != elems_ || needs_base != (tensor.coding == Coding::exact_from_base)) {
    throw CheckpointError(source_ + ": it is coded otherwise than the header of the file says");
  }
  if (!needs_base) return;
  if (!base) throw CheckpointError(source_ + ": it is coded against a base, which does not have it");
  if (base->tensor_.dtype != dtype || base->elems_ != elems_) throw CheckpointError(source_ + ": in the base it has another type or size");
  base_ = std::move(base);
}

uint64_t TensorReader::begin_of(size_t chunk) const { return uint64_t{chunk} * exact::kChunkElems * size_of(tensor_.dtype); }

size_t TensorReader::bytes_of(size_t chunk) const {
  return static_cast<size_t>(std::min<uint64_t>(num_bytes() - begin_of(chunk), exact::kChunkElems * size_of(tensor_.dtype)));
}

void TensorReader::read(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const {
  if (tensor_.coding == Coding::none) return file_.read(tensor_.entry, begin_of(chunk), into);
  std::vector<std::byte> earlier(base_ ? into.size() : 0);
  if (base_) base_->read(chunk, coder, earlier);
  const exact::Table::Entry& entry = table_.chunks[chunk];
  std::vector<std::byte> coded(entry.coded_bytes);  // which lie in the file: the table's lengths add up to the tensor's
  file_.read(tensor_.entry, exact::table_bytes(elems_) + entry.begin, coded);
  try {
    exact::decode_chunk(table_, chunk, coded, earlier, coder, into, source_);
  } catch (const CorruptData& e) {
    throw CheckpointError(e.what());
  }
}

}  // namespace thinwire::checkpoint
