#include "checkpoint/tensor_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "checkpoint/elements.h"
#include "checkpoint/extreme/family.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {

TensorReader::TensorReader(const SafetensorsFile& file, const std::string& name, const StoredTensor& tensor,
                           std::shared_ptr<const TensorReader> base, std::shared_ptr<const TensorReader> guide)
    : file_(file),
      tensor_(tensor),
      source_(fmt::format("{}: tensor {}", file.path().string(), in_quotes(name))),
      elems_(*checkpoint::num_bytes(tensor.dtype, tensor.shape) / size_of(tensor.dtype)) {
  try {
    if (is_extreme(tensor.coding)) {
      open_extreme(std::move(base), std::move(guide));
    } else if (!is_exact(tensor.coding)) {
      open_near();
    } else if (tensor.coding != Coding::none) {
      open_exact(std::move(base));
    }
  } catch (const CorruptData& e) {
    throw CheckpointError(e.what());
  }
}

void TensorReader::open_exact(std::shared_ptr<const TensorReader> base) {
  std::vector<std::byte> front(exact::table_bytes(elems_));  // stored_tensors() has seen that the file holds so many
  file_.read(tensor_.entry, 0, front);
  table_ = exact::parse_table(front, tensor_.stored_bytes(), source_);
  const auto& [dtype, elems, needs_base] = table_.facts;
  if (dtype != tensor_.dtype || elems != elems_ || needs_base != (tensor_.coding == Coding::exact_from_base)) {
    throw CheckpointError(source_ + ": it is coded otherwise than the header of the file says");
  }
  if (!needs_base) return;
  if (!base) throw CheckpointError(source_ + ": it is coded against a base, which does not have it");
  if (base->tensor_.dtype != dtype || base->elems_ != elems_) throw CheckpointError(source_ + ": in the base it has another type or size");
  base_ = std::move(base);
}

void TensorReader::open_near() {
  std::vector<std::byte> front(near::kHeaderBytes);
  file_.read(tensor_.entry, 0, front);
  near_ = near::parse_header(front, tensor_.stored_bytes(), elems_, source_);
  if (near_.form != form_of(tensor_.coding)) throw CheckpointError(source_ + ": it is coded otherwise than the header of the file says");
  front.resize(exact::table_bytes(elems_));  // parse_header() has seen that there are so many
  file_.read(tensor_.entry, near_.levels_begin(), front);
  table_ = near::parse_levels(near_, front, source_);
  front.resize(exact::table_bytes(near::num_blocks(elems_)));
  file_.read(tensor_.entry, near_.scales_begin(), front);
  scales_ = near::parse_scales(near_, front, source_);
}

void TensorReader::open_extreme(std::shared_ptr<const TensorReader> base, std::shared_ptr<const TensorReader> guide) {
  std::vector<std::byte> front(static_cast<size_t>(extreme::table_bytes(elems_)));  // stored_tensors() has seen that the file holds so many
  file_.read(tensor_.entry, 0, front);
  extreme_ = extreme::parse_table(front, tensor_.stored_bytes(), elems_, source_);
  if (extreme_.form.kind != kind_of(tensor_.coding) || extreme_.has_guide != (guide != nullptr))
    throw CheckpointError(source_ + ": it is coded otherwise than the header of the file says");
  if (extreme_.form.kind == extreme::Kind::differences) {
    if (!base) throw CheckpointError(source_ + ": it is coded against a base, which does not have it");
    if (base->tensor_.dtype != DType::f32 || base->elems_ != elems_)
      throw CheckpointError(source_ + ": in the base it has another type or size");
    base_ = std::move(base);
  }
  if (!guide) return;
  if (!is_extreme(guide->tensor_.coding) || guide->elems_ != elems_)
    throw CheckpointError(source_ + ": its guide has no indices, or another size");
  guide_ = std::move(guide);
  const std::scoped_lock lock(guide_->mutex_);
  guide_->kept_.resize(num_chunks());
}

uint64_t TensorReader::begin_of(size_t chunk) const { return uint64_t{chunk} * exact::kChunkElems * size_of(tensor_.dtype); }

size_t TensorReader::bytes_of(size_t chunk) const {
  return static_cast<size_t>(std::min<uint64_t>(num_bytes() - begin_of(chunk), exact::kChunkElems * size_of(tensor_.dtype)));
}

void TensorReader::read(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const {
  std::vector<uint8_t> indices;
  read(chunk, coder, into, indices);
}

void TensorReader::read(size_t chunk, exact::ChunkCoder& coder, MutableBytes into, std::vector<uint8_t>& indices) const {
  indices.clear();
  if (tensor_.coding == Coding::none) return file_.read(tensor_.entry, begin_of(chunk), into);
  try {
    if (is_extreme(tensor_.coding)) {
      std::vector<float> numbers(into.size() / sizeof(float));
      read_extreme(chunk, coder, numbers, indices);
      std::memcpy(into.data(), numbers.data(), into.size());
      return;
    }
    if (!is_exact(tensor_.coding)) return read_near(chunk, coder, into);
    std::vector<std::byte> earlier(base_ ? into.size() : 0);
    if (base_) base_->read(chunk, coder, earlier);
    read_exact(table_, 0, chunk, earlier, coder, into);
  } catch (const CorruptData& e) {
    throw CheckpointError(e.what());
  }
}

void TensorReader::read_exact(const exact::Table& table, uint64_t begin, size_t chunk, ConstBytes earlier, exact::ChunkCoder& coder,
                              MutableBytes into) const {
  const exact::Table::Entry& entry = table.chunks[chunk];
  std::vector<std::byte> coded(entry.coded_bytes);  // which lie in the file: the table's lengths add up to the coding's
  file_.read(tensor_.entry, begin + exact::table_bytes(table.facts.elems) + entry.begin, coded);
  exact::decode_chunk(table, chunk, coded, earlier, coder, into, source_);
}

// A chunk of levels is of whole blocks, whose scales lie in one chunk of theirs.
void TensorReader::read_near(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const {
  constexpr size_t kBlocks = exact::kChunkElems / near::kBlock;
  static_assert(exact::kChunkElems % near::kBlock == 0 && exact::kChunkElems % kBlocks == 0);
  std::vector<uint8_t> levels(into.size() / sizeof(float));
  read_exact(table_, near_.levels_begin(), chunk, {}, coder, std::as_writable_bytes(std::span(levels)));
  const size_t first_block = chunk * kBlocks, scales_chunk = first_block / exact::kChunkElems;
  const size_t begin = scales_chunk * exact::kChunkElems, blocks = near::num_blocks(elems_);
  std::vector<float> scales(std::min(exact::kChunkElems, blocks - begin));
  read_exact(scales_, near_.scales_begin(), scales_chunk, {}, coder, std::as_writable_bytes(std::span(scales)));
  std::vector<float> numbers(levels.size());
  const auto mine = std::span(scales).subspan(first_block - begin, near::num_blocks(levels.size()));
  near::dequantize(near_.form, levels, mine, numbers, source_);
  std::memcpy(into.data(), numbers.data(), into.size());
}

void TensorReader::read_extreme(size_t chunk, exact::ChunkCoder& coder, std::span<float> into, std::vector<uint8_t>& indices) const {
  std::vector<float> before(base_ ? into.size() : 0);
  std::vector<uint8_t> earlier;
  if (base_) base_->read(chunk, coder, std::as_writable_bytes(std::span(before)), earlier);
  const Indices guide = guide_ ? guide_->kept_indices(chunk, coder) : nullptr;
  const Indices second = guide_ && guide_->guide_ ? guide_->guide_->kept_indices(chunk, coder) : nullptr;
  const auto span_of = [](const Indices& kept) { return kept ? std::span<const uint8_t>(*kept) : std::span<const uint8_t>(); };
  const extreme::Table::Entry& entry = extreme_.chunks[chunk];
  std::vector<std::byte> coded(entry.coded_bytes);  // which lie in the file: the table's lengths add up to the coding's
  file_.read(tensor_.entry, extreme::table_bytes(elems_) + entry.begin, coded);
  indices.resize(into.size());
  extreme::decode_chunk(
      extreme_, chunk, coded,
      extreme::surroundings(chunk, row_elems(tensor_.shape), extreme_.form.kind, span_of(guide), span_of(second), earlier), before, indices,
      into, source_);
  keep_indices(chunk, indices);
}

TensorReader::Indices TensorReader::kept_indices(size_t chunk, exact::ChunkCoder& coder) const {
  {
    const std::scoped_lock lock(mutex_);
    if (kept_[chunk]) return kept_[chunk];
  }
  std::vector<float> numbers(bytes_of(chunk) / sizeof(float));
  std::vector<uint8_t> indices;
  read_extreme(chunk, coder, numbers, indices);
  const std::scoped_lock lock(mutex_);
  return kept_[chunk];
}

void TensorReader::keep_indices(size_t chunk, const std::vector<uint8_t>& indices) const {
  const std::scoped_lock lock(mutex_);
  if (!kept_.empty() && !kept_[chunk]) kept_[chunk] = std::make_shared<const std::vector<uint8_t>>(indices);
}

}  // namespace thinwire::checkpoint
