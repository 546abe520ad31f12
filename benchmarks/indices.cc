// bench_indices: the index maps of an extreme checkpoint (docs/formats/checkpoint.md), one byte an index, for other coders to try
// (benchmarks/extreme.py), and what they take as they are stored: without tables, hashes and centres.
#include <fmt/format.h>

#include <fstream>

#include "base/error.h"
#include "checkpoint/chain.h"
#include "main.h"

namespace thinwire::benchmarks {
namespace {

constexpr size_t kCentresBytes = 32;  // in front of the indices of a chunk

struct Totals {
  uint64_t elems = 0, coded_bytes = 0;
};

// Maps of one kind of tensor after another: weights, first moments, second moments.
void write_maps(const std::string& directory, std::ofstream& file, Totals& totals) {
  checkpoint::ChainFiles files(checkpoint::read_chain(directory), checkpoint::ChainFiles::Check::headers);
  checkpoint::exact::ChunkCoder coder;
  for (const char* kind : {"model/", "optim/exp_avg/", "optim/exp_avg_sq/"}) {
    for (const auto& [name, stored] : files.shard("model.safetensors")->tensors) {
      if (!name.starts_with(kind) || !is_extreme(stored.coding)) continue;
      const auto reader = files.reader("model.safetensors", name);
      std::vector<std::byte> numbers;
      std::vector<uint8_t> indices;
      for (size_t chunk = 0; chunk < reader->num_chunks(); ++chunk) {
        numbers.resize(reader->bytes_of(chunk));
        reader->read(chunk, coder, numbers, indices);
        file.write(reinterpret_cast<const char*>(indices.data()), static_cast<std::streamsize>(indices.size()));
        totals.elems += indices.size();
      }
      const uint64_t around = checkpoint::extreme::table_bytes(reader->num_bytes() / sizeof(float)) + kCentresBytes * reader->num_chunks();
      totals.coded_bytes += stored.stored_bytes() - around;
    }
  }
}

int run(const std::string& directory, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  Totals totals;
  write_maps(directory, file, totals);
  if (!file.flush()) throw CheckpointError(fmt::format("cannot write {}", path));
  fmt::print("{{\"indices\": {}, \"coded_bytes\": {}}}\n", totals.elems, totals.coded_bytes);
  return 0;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main(int argc, char** argv) {
  std::string directory, path;
  CLI::App app("Writes the index maps of an extreme checkpoint to a file, one byte an index.", "bench_indices");
  app.add_option("checkpoint", directory, "a checkpoint saved in mode extreme: <run>/checkpoints/step-N")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("file", path, "what is written")->required();
  return thinwire::benchmarks::parse_and_run(app, argc, argv, [&] { return thinwire::benchmarks::run(directory, path); });
}
