// One bit flipped, or the file cut short, at every boundary that a checkpoint has and at a thousand random places: always noticed, and the
// older checkpoint is used.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <set>

#include "base/draw.h"
#include "checkpoint/chain.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "support.h"
#include "tests/support/sanitized.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uint64_t kRandomPlaces = test::kSanitized ? 100 : 1000;  // reading is twenty times as slow
constexpr size_t kElems = 300'000;                                 // two chunks

// Changes little from seed to seed, as between steps of training.
State large_state(std::vector<float>& values, uint64_t seed) {
  values.resize(kElems);
  const Draw common(0), own(seed);
  for (size_t i = 0; i < kElems; ++i) {
    values[i] = 0.04f * static_cast<float>(common.uniform(i) - 0.5) + 1e-7f * static_cast<float>(own.uniform(i));
  }
  return {{{"model/large", DType::f32, {300, 1000}, std::as_writable_bytes(std::span(values)), Scope::replicated}}, {{"step", 1}}};
}

void save_large(const fs::path& directory, int64_t step, const CheckpointOptions& options) {
  std::vector<float> values;
  const State state = large_state(values, static_cast<uint64_t>(step));
  on_ranks(1, [&](comm::Driver& driver) { Store(directory, driver, options).save(step, state, some_facts()); });
}

bool loads_large(const fs::path& directory, int64_t step) {
  std::vector<float> values, expected;
  State state = large_state(values, 99);
  large_state(expected, static_cast<uint64_t>(step));
  on_ranks(1, [&](comm::Driver& driver) { Store(directory, driver, {}).load(step, state); });
  return values == expected;
}

// Bytes at which something begins in a file of safetensors: its header, the tensors, their tables, each chunk; and its end.
std::set<uint64_t> boundaries_in(const fs::path& path) {
  const SafetensorsFile file(path);
  std::set<uint64_t> at = {0, 8, file.header().data_begin, fs::file_size(path)};
  for (const auto& [name, tensor] : stored_tensors(file)) {
    const uint64_t begin = file.header().data_begin + tensor.entry.begin;
    at.insert(begin);
    if (tensor.coding == Coding::none) continue;
    const std::vector<std::byte> coded = file.data(name);
    const exact::Table table = exact::parse_table(coded, coded.size(), name);
    const uint64_t chunks = begin + exact::table_bytes(table.facts.elems);
    for (const auto& chunk : table.chunks) at.insert(chunks + chunk.begin);
  }
  return at;
}

struct StepFile {
  fs::path path;
  std::string content;
};

struct Place {
  const StepFile* file;
  uint64_t byte;  // of the flipped bit; or the new length
};

std::vector<StepFile> files_in(const fs::path& step_directory) {
  std::vector<StepFile> files;
  for (const std::string& name : names_in(step_directory)) files.push_back({step_directory / name, read(step_directory / name)});
  return files;
}

// Around every boundary of each file, then anywhere.
std::vector<Place> places_in(const std::vector<StepFile>& files) {
  std::vector<Place> places;
  for (const StepFile& file : files) {
    const uint64_t size = file.content.size();
    for (const uint64_t at : file.path.extension() == ".safetensors" ? boundaries_in(file.path) : std::set<uint64_t>{0, size / 2, size}) {
      if (at > 0) places.push_back({&file, at - 1});
      if (at < size) places.push_back({&file, at});
    }
  }
  const Draw draw(7);
  for (uint64_t i = 0; i < kRandomPlaces; ++i) {  // any file as likely as another: the small ones matter no less
    const StepFile& file = files[draw.fork("file").below(i, files.size())];
    places.push_back({&file, draw.fork("byte").below(i, file.content.size())});
  }
  return places;
}

void put(const StepFile& file, uint64_t at, std::string_view bytes) {
  std::fstream stream(file.path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(at));
  stream << bytes;
}

// Damages a file and mends it.
void with_damage(const Place& place, std::optional<uint64_t> flipped_bit, const std::function<void()>& then) {
  const auto& [path, content] = *place.file;
  if (flipped_bit)
    put(*place.file, place.byte, std::string(1, static_cast<char>(content[place.byte] ^ (1 << *flipped_bit))));
  else
    fs::resize_file(path, place.byte);
  then();
  put(*place.file, place.byte, std::string_view(content).substr(place.byte, flipped_bit ? 1 : std::string::npos));
}

// Damages `step` at every place in both ways; the newest good one must then be `older`, and `step` must not load.
void expect_older_after_any_damage(const fs::path& directory, int64_t step, int64_t older) {
  const std::vector<StepFile> files = files_in(directory / step_name(step));
  uint64_t turn = 0;
  on_ranks(1, [&](comm::Driver& driver) {
    Store store(directory, driver, {});
    std::vector<float> values;
    State state = large_state(values, 99);
    ::testing::internal::CaptureStderr();
    for (const Place& place : places_in(files)) {
      const auto bit = std::optional(turn++ % 8);
      for (const auto& flipped : {bit, std::optional<uint64_t>()}) {
        with_damage(place, flipped, [&] {
          EXPECT_EQ(store.newest_good(), older) << place.file->path << (flipped ? " flipped at " : " cut to ") << place.byte;
          if (turn % 16 == 0) {
            EXPECT_THROW(store.load(step, state), CheckpointError) << place.file->path << " at " << place.byte;
          }
        });
      }
    }
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_THAT(said, HasSubstr(step_name(step)));
    EXPECT_GT(static_cast<uint64_t>(std::count(said.begin(), said.end(), '\n')), 2 * kRandomPlaces);
    EXPECT_EQ(store.newest_good(), 30);  // whole again
  });
  EXPECT_TRUE(loads_large(directory, older));
}

TEST(Damage, AnywhereInACodedCheckpointIsNoticed) {
  TempDir dir;
  for (const int64_t step : {20, 30}) save_large(dir.path(), step, {.keep = 0});
  expect_older_after_any_damage(dir.path(), 30, 20);
}

TEST(Damage, AnywhereInARawCheckpointIsNoticed) {
  TempDir dir;
  for (const int64_t step : {20, 30}) save_large(dir.path(), step, {.keep = 0, .mode = "raw"});
  expect_older_after_any_damage(dir.path(), 30, 20);
}

void save_chain(const fs::path& directory) {
  for (const int64_t step : {10, 20}) save_large(directory, step, {.keep = 0});
  save_large(directory, 30, {.keep = 0, .base = "previous"});
  ASSERT_EQ(list(directory).back().base, 20);
}

TEST(Damage, AnywhereInACheckpointWithABaseIsNoticed) {
  TempDir dir;
  save_chain(dir.path());
  expect_older_after_any_damage(dir.path(), 30, 20);
}

TEST(Damage, AnywhereInABaseIsNoticed) {
  TempDir dir;
  save_chain(dir.path());
  expect_older_after_any_damage(dir.path(), 20, 10);
}

}  // namespace
}  // namespace thinwire::checkpoint::testing
