#include "support.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/draw.h"
#include "tests/support/run_ranks.h"

namespace thinwire::checkpoint::testing {

namespace fs = std::filesystem;

TempDir::TempDir() {
  // In memory where that is possible: hundreds of fsyncs of a real disk take minutes, and losing power is simulated anyway.
  const fs::path memory = "/dev/shm", root = access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
  std::string name = (root / "thinwire-checkpoint-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
  path_ = name;
}
TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

void flip_bit(const fs::path& path, size_t byte) {
  std::string text = read(path);
  text.at(byte) = static_cast<char>(text.at(byte) ^ 0x10);
  write(path, text);
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

void on_ranks(int n, const std::function<void(comm::Driver&)>& fn, double timeout_s) {
  test::run_ranks(n, [&](comm::Transport& transport) {
    comm::Driver driver(transport, timeout_s);
    fn(driver);
  });
}

std::string error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::checkpoint) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

Model::Model(int rank, uint64_t seed)
    : weight(6), residual(5), half(3), counter(1), table(32 * 40), own_table(900), numbers{{"step", static_cast<int64_t>(seed)}} {
  const Draw shared = Draw(seed).fork("shared"), own = Draw(seed).fork("own").fork(static_cast<uint64_t>(rank));
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(shared.normal(i));
  for (size_t i = 0; i < half.size(); ++i) half[i] = static_cast<uint16_t>(shared.bits(100 + i));
  for (size_t i = 0; i < residual.size(); ++i) residual[i] = static_cast<float>(own.normal(i));
  counter[0] = static_cast<int64_t>(own.bits(100));
  const auto fill = [](std::vector<float>& values, const Draw& of_all_seeds, const Draw& of_this) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = 0.04f * static_cast<float>(of_all_seeds.normal(i)) + 1e-6f * static_cast<float>(of_this.normal(1000 + i));
    }
  };
  fill(table, Draw(0).fork("shared"), shared);
  fill(own_table, Draw(0).fork("own").fork(static_cast<uint64_t>(rank)), own);
}

State Model::state() {
  const auto bytes = [](auto& values) { return std::as_writable_bytes(std::span(values)); };
  return {{{"model/weight", DType::f32, {2, 3}, bytes(weight), Scope::replicated},
           {"model/half", DType::bf16, {3}, bytes(half), Scope::replicated},
           {"model/empty", DType::u8, {0, 7}, bytes(empty), Scope::replicated},
           {"residual/weight", DType::f32, {5}, bytes(residual), Scope::per_rank},
           {"residual/counter", DType::i64, {}, bytes(counter), Scope::per_rank},
           {"model/table", DType::f32, {40, 32}, bytes(table), Scope::replicated},
           {"residual/table", DType::f32, {900}, bytes(own_table), Scope::per_rank}},
          numbers};
}

RunFacts some_facts() { return {"trial", "0123456789abcdef", "0.1.0", {{"optim.lr", "0.002"}, {"run.seed", "1"}}, {}}; }

void save_model(const fs::path& directory, int world, int64_t step, uint64_t seed, int64_t keep) {
  save_model(directory, world, step, seed, {.keep = keep});
}
void save_model(const fs::path& directory, int world, int64_t step, uint64_t seed, const CheckpointOptions& options) {
  on_ranks(world, [&](comm::Driver& driver) {
    Model model(driver.rank(), seed);
    Store(directory, driver, options).save(step, model.state(), some_facts());
  });
}

bool loads_as(const fs::path& directory, int64_t step, uint64_t seed) {
  Model model(0, 12345);
  on_ranks(1, [&](comm::Driver& driver) {
    State state = model.state();
    Store(directory, driver, {}).load(step, state);
    model.numbers = state.numbers;
  });
  return model == Model(0, seed);
}

}  // namespace thinwire::checkpoint::testing
