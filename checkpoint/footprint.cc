#include "checkpoint/footprint.h"

#include <algorithm>

#include "checkpoint/chain.h"
#include "checkpoint/exact/chunk.h"

namespace thinwire::checkpoint {

namespace {
constexpr double kOfExact = 76;        // of each element of a chunk: ChunkCoder's 20 MB
constexpr double kOfLink = 4 + 4 + 1;  // for each base: the numbers that it makes, those before them, indices (TensorReader::read_extreme)
constexpr double kOfCentres = 40;      // what k-means sorts and adds up in doubles, with the room that vectors keep (extreme/centres.cc)
constexpr double kTables = 3e6;        // of the model of indices (extreme/index_model.h)
}  // namespace

double thread_bytes(const CheckpointOptions& options, uint64_t largest_elems, size_t bases) {
  const auto elems = static_cast<double>(std::min<uint64_t>(largest_elems, exact::kChunkElems));
  if (options.mode == "raw") return 0;
  if (options.mode != "extreme") return kOfExact * elems;
  return std::max(kOfCentres, kOfLink * static_cast<double>(std::min(bases, kMostBases))) * elems + kTables;
}

}  // namespace thinwire::checkpoint
