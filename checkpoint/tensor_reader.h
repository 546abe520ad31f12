// One tensor of a checkpoint as it was in memory, chunk by chunk (exact/chunk.h), whatever way it is stored: few bytes are held at a time,
// of the tensor and of each base that it is coded against. One whose indices guide another's keeps them: a byte an element.
//
// Any thread may read any chunk, with a coder of its own.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/coding.h"
#include "checkpoint/exact/tensor.h"
#include "checkpoint/extreme/tensor.h"
#include "checkpoint/near/tensor.h"

namespace thinwire::checkpoint {

class TensorReader {
 public:
  // Of one of the file's stored_tensors(); both must outlive the reader. `base` is the same tensor of the checkpoint's base, if there is
  // one, and `guide` the one that the coding names. CheckpointError when the table is damaged, tells of other elements, or needs a base or
  // a guide that is not there or has another type or size.
  TensorReader(const SafetensorsFile& file, const std::string& name, const StoredTensor& tensor, std::shared_ptr<const TensorReader> base,
               std::shared_ptr<const TensorReader> guide = nullptr);

  const StoredTensor& tensor() const { return tensor_; }
  uint64_t num_bytes() const { return elems_ * size_of(tensor_.dtype); }
  size_t num_chunks() const { return exact::num_chunks(elems_); }
  uint64_t begin_of(size_t chunk) const;  // among the tensor's bytes
  size_t bytes_of(size_t chunk) const;

  // Fills `into`, which has bytes_of(chunk). CheckpointError when what is stored is damaged; bytes that are not coded are taken as they
  // are.
  void read(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const;
  // The same; `indices` are those of an extreme coding, else none.
  void read(size_t chunk, exact::ChunkCoder& coder, MutableBytes into, std::vector<uint8_t>& indices) const;
  const extreme::Form& extreme_form() const { return extreme_.form; }  // of an extreme coding

 private:
  void open_exact(std::shared_ptr<const TensorReader> base);
  void open_near();
  void open_extreme(std::shared_ptr<const TensorReader> base, std::shared_ptr<const TensorReader> guide);
  // A chunk of an exact coding that begins at `begin` of what is stored.
  void read_exact(const exact::Table& table, uint64_t begin, size_t chunk, ConstBytes earlier, exact::ChunkCoder& coder,
                  MutableBytes into) const;
  void read_near(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const;
  void read_extreme(size_t chunk, exact::ChunkCoder& coder, std::span<float> into, std::vector<uint8_t>& indices) const;
  using Indices = std::shared_ptr<const std::vector<uint8_t>>;
  Indices kept_indices(size_t chunk, exact::ChunkCoder& coder) const;
  void keep_indices(size_t chunk, const std::vector<uint8_t>& indices) const;

  const SafetensorsFile& file_;
  const StoredTensor& tensor_;
  std::shared_ptr<const TensorReader> base_;  // where the coding needs it
  std::string source_;
  uint64_t elems_;
  exact::Table table_;  // of a coded one: near-exact, of its levels
  near::Header near_;   // of a near-exact one, as is scales_
  exact::Table scales_;
  extreme::Table extreme_;                     // of an extreme one
  std::shared_ptr<const TensorReader> guide_;  // likewise
  mutable std::mutex mutex_;
  mutable std::vector<Indices> kept_;  // by chunk, once this guides another
};

}  // namespace thinwire::checkpoint
