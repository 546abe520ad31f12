// thinwire_fuzz_corpus: the fuzzed inputs without a fuzzer.
//
//   thinwire_fuzz_corpus replay FOLDER    every target on its seeds and on the files in FOLDER/<target>; 1 when a contract is broken
//   thinwire_fuzz_corpus seed FOLDER      writes the seeds to FOLDER/<target>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "base/hash.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

namespace fs = std::filesystem;

Bytes contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw std::runtime_error("cannot read " + path.string());
  const ConstBytes bytes = bytes_of(text);
  return {bytes.begin(), bytes.end()};
}

// The copy ends where its heap block ends, for the sanitizer's sake. True when nothing is broken.
bool passes(const Target& target, const Bytes& input, const std::string& what) {
  const Bytes exact(input);
  try {
    target.run(exact);
    return true;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s: %s\n", target.name.c_str(), what.c_str(), error.what());
    return false;
  }
}

int replay(const fs::path& folder) {
  size_t inputs = 0, broken = 0;
  for (const Target& target : all_targets()) {
    const std::vector<Bytes> seeds = target.seeds();
    for (size_t i = 0; i < seeds.size(); ++i, ++inputs) broken += passes(target, seeds[i], "seed " + std::to_string(i)) ? 0 : 1;
    if (!fs::exists(folder / target.name)) continue;  // a codec of which fuzzing has found nothing yet
    for (const auto& entry : fs::directory_iterator(folder / target.name)) {
      broken += passes(target, contents_of(entry.path()), entry.path().string()) ? 0 : 1;
      ++inputs;
    }
  }
  std::printf("%zu inputs replayed, %zu break a contract\n", inputs, broken);
  return broken == 0 ? 0 : 1;
}

// Named by their hash, as libFuzzer names what it finds.
int seed(const fs::path& folder) {
  for (const Target& target : all_targets()) {
    fs::create_directories(folder / target.name);
    for (const Bytes& input : target.seeds()) {
      std::ofstream file(folder / target.name / to_hex(hash64(input)), std::ios::binary);
      file.write(reinterpret_cast<const char*>(input.data()), std::ssize(input));
      if (!file.flush()) throw std::runtime_error("cannot write to " + folder.string());
    }
  }
  return 0;
}

}  // namespace
}  // namespace thinwire::fuzz

int main(int argc, char** argv) {
  const std::string_view verb = argc == 3 ? argv[1] : "";
  if (verb == "replay") return thinwire::fuzz::replay(argv[2]);
  if (verb == "seed") return thinwire::fuzz::seed(argv[2]);
  std::fputs("usage: thinwire_fuzz_corpus replay|seed FOLDER\n", stderr);
  return 2;
}
