// What the tests of checkpoints share: a directory that goes away, ranks as threads, and a small state to save.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "comm/driver.h"

namespace thinwire::checkpoint::testing {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read(const std::filesystem::path& path);
void write(const std::filesystem::path& path, const std::string& text);
void flip_bit(const std::filesystem::path& path, size_t byte);
std::vector<std::string> names_in(const std::filesystem::path& directory);  // sorted

// fn on each of n ranks, as threads over loopback; the first exception of any rank is rethrown as an Error when all have ended.
void on_ranks(int n, const std::function<void(comm::Driver&)>& fn, double timeout_s = 20);

// The message of the error with the exit code of checkpoints that fn throws; a test failure when it throws none or another.
std::string error_of(const std::function<void()>& fn);

// A little of everything a run keeps: replicated and per_rank, four dtypes, a scalar, an empty tensor, and two that are long enough to be
// coded. Those differ little between seeds, as between steps of training.
struct Model {
  Model(int rank, uint64_t seed);  // replicated values are a function of the seed, per_rank ones of seed and rank
  State state();
  bool operator==(const Model&) const = default;

  std::vector<float> weight, residual;
  std::vector<uint16_t> half;
  std::vector<int64_t> counter;
  std::vector<uint8_t> empty;
  std::vector<float> table, own_table;
  std::map<std::string, int64_t> numbers;
};

RunFacts some_facts();

// Saves Model(rank, seed) of all ranks / loads step into a zeroed model and compares.
void save_model(const std::filesystem::path& directory, int world, int64_t step, uint64_t seed, int64_t keep = 0);
void save_model(const std::filesystem::path& directory, int world, int64_t step, uint64_t seed, const CheckpointOptions& options);
// The seed's model is loaded byte for byte: compares with Model(0, seed) in a world of one.
bool loads_as(const std::filesystem::path& directory, int64_t step, uint64_t seed);

}  // namespace thinwire::checkpoint::testing
