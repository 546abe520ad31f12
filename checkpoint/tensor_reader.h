// One tensor of a checkpoint as it was in memory, chunk by chunk (exact/chunk.h), whatever way it is stored: few bytes are held at a time,
// of the tensor and of each base that it is coded against.
//
// A reader does not change: any thread may read any chunk, with a coder of its own.
#pragma once
#include <memory>
#include <string>

#include "checkpoint/coding.h"
#include "checkpoint/exact/tensor.h"
#include "checkpoint/near/tensor.h"

namespace thinwire::checkpoint {

class TensorReader {
 public:
  // Of one of the file's stored_tensors(); both must outlive the reader. `base` is the same tensor of the checkpoint's base, if there is
  // one. CheckpointError when the table is damaged, tells of other elements, or needs a base that is not there or has another type or size.
  TensorReader(const SafetensorsFile& file, const std::string& name, const StoredTensor& tensor, std::shared_ptr<const TensorReader> base);

  const StoredTensor& tensor() const { return tensor_; }
  uint64_t num_bytes() const { return elems_ * size_of(tensor_.dtype); }
  size_t num_chunks() const { return exact::num_chunks(elems_); }
  uint64_t begin_of(size_t chunk) const;  // among the tensor's bytes
  size_t bytes_of(size_t chunk) const;

  // Fills `into`, which has bytes_of(chunk). CheckpointError when what is stored is damaged; bytes that are not coded are taken as they
  // are.
  void read(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const;

 private:
  void open_exact(std::shared_ptr<const TensorReader> base);
  void open_near();
  // A chunk of an exact coding that begins at `begin` of what is stored.
  void read_exact(const exact::Table& table, uint64_t begin, size_t chunk, ConstBytes earlier, exact::ChunkCoder& coder,
                  MutableBytes into) const;
  void read_near(size_t chunk, exact::ChunkCoder& coder, MutableBytes into) const;

  const SafetensorsFile& file_;
  const StoredTensor& tensor_;
  std::shared_ptr<const TensorReader> base_;  // where the coding needs it
  std::string source_;
  uint64_t elems_;
  exact::Table table_;  // of a coded one: near-exact, of its levels
  near::Header near_;   // of a near-exact one, as is scales_
  exact::Table scales_;
};

}  // namespace thinwire::checkpoint
