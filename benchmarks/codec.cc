// bench_codec: every codec against the speed of memory, on one core (docs/benchmarks.md).
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "compressors/registry.h"
#include "main.h"
#include "subjects.h"
#include "timing.h"
#include "workload.h"

namespace thinwire::benchmarks {
namespace {

struct Arguments {
  Choice choice;
  size_t elems = size_t{64} << 20;
  int rounds = 7;
};

// Every codec under its defaults, and under the options whose speed is promised or worth knowing.
std::vector<Subject> all_subjects() {
  return {{"none", {}},
          {"bf16", {}},
          {"fp16", {}},
          {"quantize", {}},
          {"quantize", {"bits=8"}},
          {"quantize", {"rounding=stochastic"}},
          {"sign", {}},
          {"topk", {}},
          {"topk", {"density=1%"}},
          {"topk", {"density=1%", "scope=global", "index_coding=rice"}},
          {"sparseloco", {}},
          {"powersgd", {}},
          {"randomk", {}}};
}

using Seconds = std::vector<std::vector<double>>;  // by round: floor, encode, floor of decode, decode

Seconds measure(const compressors::Codec& codec, Workload& work, int rounds) {
  return interleaved(
      rounds, [&] { return work.encode_floor_s(); }, [&] { return work.encode_s(codec); }, [&] { return work.decode_floor_s(); },
      [&] { return work.decode_s(codec); });
}

Seconds measure(const compressors::Sketch& sketch, Workload& work, int rounds) {
  return interleaved(
      rounds, [&] { return work.rounds_floor_s(); }, [&] { return work.rounds_s(sketch); }, [&] { return work.decode_floor_s(); },
      [&] { return work.decode_s(sketch); });
}

// Verified first, where that is a matter of one rank.
Seconds measure(const compressors::Compressor& compressor, Workload& work, int rounds) {
  if (const auto* sketch = dynamic_cast<const compressors::Sketch*>(&compressor)) {
    work.prepare(*sketch);
    return measure(*sketch, work, rounds);
  }
  const auto& codec = dynamic_cast<const compressors::Codec&>(compressor);
  work.prepare(codec);
  const std::string wrong = work.round_trip(codec);
  check(wrong.empty(), wrong.c_str());
  return measure(codec, work, rounds);
}

nlohmann::ordered_json row_of(const Subject& subject, const Seconds& s, const Workload& work) {
  const auto elems = work.layer().elems();
  return {{"codec", subject.codec},
          {"options", join(subject.options, " ")},
          {"elems", elems},
          {"encode_s", least(s[1])},
          {"floor_s", least(s[0])},
          {"encode_ratio", least(s[1]) / least(s[0])},
          {"decode_s", least(s[3])},
          {"decode_floor_s", least(s[2])},
          {"decode_ratio", least(s[3]) / least(s[2])},
          {"payload_bytes_per_elem", static_cast<double>(work.payload_bytes()) / static_cast<double>(elems)}};
}

void print_row(const nlohmann::ordered_json& row) {
  const auto number = [&](const char* key) { return row[key].get<double>(); };
  fmt::print("{:<11} {:<42} {:>9.3f} {:>6.2f} {:>9.3f} {:>6.2f} {:>11.4f}\n", row["codec"].get<std::string>(),
             row["options"].get<std::string>(), number("encode_s"), number("encode_ratio"), number("decode_s"), number("decode_ratio"),
             number("payload_bytes_per_elem"));
  std::fflush(stdout);
}

int run(const Arguments& arguments) {
  stay_on_one_core();
  Workload work(arguments.elems);
  fmt::print("{} elements, {} rounds, one core; x: times the floor\n", with_thousands(work.layer().elems()), arguments.rounds);
  fmt::print("{:<11} {:<42} {:>9} {:>6} {:>9} {:>6} {:>11}\n", "codec", "options", "encode s", "x", "decode s", "x", "bytes/elem");
  std::vector<nlohmann::ordered_json> rows;
  for (const Subject& subject : chosen(arguments.choice, all_subjects())) {
    const auto compressor = make_compressor(subject.codec, subject.options);
    rows.push_back(row_of(subject, measure(*compressor, work, arguments.rounds), work));
    print_row(rows.back());
  }
  for (const auto& row : rows) fmt::print("{}\n", row.dump());
  return 0;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main(int argc, char** argv) {
  thinwire::benchmarks::Arguments arguments;
  CLI::App app("Times every codec, on one core, against streaming the same floats through memory.", "bench_codec");
  thinwire::benchmarks::add_choice(app, arguments.choice);
  app.add_option("--elems", arguments.elems, "elements of the layer, a multiple of 4096")->check(CLI::Range(size_t{4096}, size_t{1} << 32));
  app.add_option("--rounds", arguments.rounds, "times that each thing is timed")->check(CLI::Range(1, 1000));
  return thinwire::benchmarks::parse_and_run(app, argc, argv, [&] { return thinwire::benchmarks::run(arguments); });
}
