// bench_checkpoint: exact coding of a checkpoint's state against memcpy, zstd and what others do with floats, on one core
// (docs/benchmarks.md).
#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/error.h"
#include "checkpoint/chain.h"
#include "checkpoint/exact/tensor.h"
#include "main.h"
#include "timing.h"

namespace thinwire::benchmarks {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

struct Arguments {
  std::string directory, earlier, only;
  bool bf16 = false;
  int rounds = 5;
};

struct Subject {
  DType dtype = DType::f32;
  uint64_t row_elems = 0;
  Bytes bytes, earlier;  // earlier: empty where there is none
};

using Subjects = std::vector<Subject>;

// A way to code tensors: bytes to bytes and back, with the earlier generation at hand.
struct Way {
  std::string name;
  std::function<std::vector<checkpoint::exact::Parts>(const Subjects&)> encode;
  std::function<void(const std::vector<Bytes>&, const Subjects&, std::vector<Bytes>&)> decode;
};

Bytes to_bf16_bytes(ConstBytes floats) {
  Bytes halves(floats.size() / 2);
  for (size_t i = 0; i < halves.size() / 2; ++i) store_le(halves.data() + 2 * i, to_bf16(load_le<float>(floats.data() + 4 * i)));
  return halves;
}

// The replicated tensors of a checkpoint, as they were in memory.
class Replicated {
 public:
  explicit Replicated(const std::string& directory) : files_(checkpoint::read_chain(directory), checkpoint::ChainFiles::Check::headers) {}
  const std::map<std::string, checkpoint::StoredTensor>& tensors() { return files_.shard(kFile)->tensors; }
  Bytes read(const std::string& name) {
    if (!tensors().contains(name)) throw CheckpointError(fmt::format("the earlier checkpoint has no tensor {}", name));
    const auto reader = files_.reader(kFile, name);
    checkpoint::exact::ChunkCoder coder;
    Bytes bytes(reader->num_bytes());
    for (size_t chunk = 0; chunk < reader->num_chunks(); ++chunk) {
      reader->read(chunk, coder, MutableBytes(bytes).subspan(reader->begin_of(chunk), reader->bytes_of(chunk)));
    }
    return bytes;
  }

 private:
  static constexpr const char* kFile = "model.safetensors";
  checkpoint::ChainFiles files_;
};

// Of fp32 tensors, those whose names begin with --only.
std::vector<Subject> read_subjects(const Arguments& arguments) {
  Replicated state(arguments.directory);
  std::optional<Replicated> older;
  if (!arguments.earlier.empty()) older.emplace(arguments.earlier);
  const auto bytes_of_tensor = [&](Replicated& from, const std::string& name) {
    const Bytes data = from.read(name);
    return arguments.bf16 ? to_bf16_bytes(data) : data;
  };
  std::vector<Subject> subjects;
  for (const auto& [name, stored] : state.tensors()) {
    if (stored.dtype != DType::f32 || !name.starts_with(arguments.only)) continue;
    Subject subject{arguments.bf16 ? DType::bf16 : DType::f32,
                    stored.shape.size() < 2 ? 0 : static_cast<uint64_t>(stored.shape.back()),
                    bytes_of_tensor(state, name),
                    {}};
    if (older) subject.earlier = bytes_of_tensor(*older, name);
    subjects.push_back(std::move(subject));
  }
  if (subjects.empty()) throw CheckpointError(fmt::format("{}: no fp32 tensor begins with '{}'", arguments.directory, arguments.only));
  return subjects;
}

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Bytes zstd_encode(ConstBytes bytes) {
  static const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  Bytes out(ZSTD_compressBound(bytes.size()));
  out.resize(ZSTD_compressCCtx(context.get(), out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}
void zstd_decode(ConstBytes coded, MutableBytes out) {
  static const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  check(ZSTD_decompressDCtx(context.get(), out.data(), out.size(), coded.data(), coded.size()) == out.size(), "zstd gives all bytes back");
}

// Byte p of every element, for each p.
void shuffle(ConstBytes from, size_t width, MutableBytes to) {
  const size_t elems = from.size() / width;
  for (size_t p = 0; p < width; ++p) {
    for (size_t i = 0; i < elems; ++i) to[p * elems + i] = from[i * width + p];
  }
}
void unshuffle(ConstBytes from, size_t width, MutableBytes to) {
  const size_t elems = from.size() / width;
  for (size_t p = 0; p < width; ++p) {
    for (size_t i = 0; i < elems; ++i) to[i * width + p] = from[p * elems + i];
  }
}

Bytes xor_of(ConstBytes a, ConstBytes b) {
  Bytes out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = b.empty() ? a[i] : a[i] ^ b[i];
  return out;
}

// Each plane a frame of its own, its length before it.
Bytes planes_encode(ConstBytes bytes, size_t width) {
  Bytes planes(bytes.size()), out;
  shuffle(bytes, width, planes);
  for (size_t p = 0; p < width; ++p) {
    const Bytes frame = zstd_encode(ConstBytes(planes).subspan(p * planes.size() / width, planes.size() / width));
    out.resize(out.size() + 8);
    store_le(out.data() + out.size() - 8, uint64_t{frame.size()});
    out.insert(out.end(), frame.begin(), frame.end());
  }
  return out;
}
void planes_decode(ConstBytes coded, size_t width, MutableBytes out) {
  Bytes planes(out.size());
  ByteReader in(coded, "planes");
  for (size_t p = 0; p < width; ++p) {
    const ConstBytes frame = in.take(in.read<uint64_t>("length"), "frame");
    zstd_decode(frame, MutableBytes(planes).subspan(p * planes.size() / width, planes.size() / width));
  }
  unshuffle(planes, width, out);
}

// One tensor after another.
template <class Encode, class Decode>
Way one_by_one(const char* name, Encode encode, Decode decode) {
  return {name,
          [encode](const Subjects& subjects) {
            std::vector<checkpoint::exact::Parts> coded;
            for (const Subject& subject : subjects) coded.push_back({encode(subject)});
            return coded;
          },
          [decode](const std::vector<Bytes>& coded, const Subjects& subjects, std::vector<Bytes>& out) {
            for (size_t i = 0; i < subjects.size(); ++i) decode(coded[i], subjects[i], out[i]);
          }};
}

Way exact_way() {
  return {"exact",
          [](const Subjects& subjects) {
            std::vector<checkpoint::exact::Tensor> tensors;
            for (const Subject& s : subjects) tensors.push_back({s.dtype, s.row_elems, s.bytes, s.earlier});
            return checkpoint::exact::encode(tensors, 1);
          },
          [](const std::vector<Bytes>& coded, const Subjects& subjects, std::vector<Bytes>& out) {
            std::vector<checkpoint::exact::Coded> tensors;
            for (size_t i = 0; i < coded.size(); ++i)
              tensors.push_back({coded[i], subjects[i].dtype, subjects[i].earlier, out[i], "exact"});
            checkpoint::exact::decode(tensors, 1);
          }};
}

Way memcpy_way() {
  return one_by_one(
      "memcpy", [](const Subject& s) { return s.bytes; },
      [](ConstBytes coded, const Subject&, MutableBytes out) { std::memcpy(out.data(), coded.data(), out.size()); });
}

Way zstd_way() {
  return one_by_one(
      "zstd -3", [](const Subject& s) { return zstd_encode(s.bytes); },
      [](ConstBytes coded, const Subject&, MutableBytes out) { zstd_decode(coded, out); });
}

Way shuffle_way() {
  return one_by_one(
      "shuffle + zstd -3",
      [](const Subject& s) {
        Bytes shuffled(s.bytes.size());
        shuffle(s.bytes, size_of(s.dtype), shuffled);
        return zstd_encode(shuffled);
      },
      [](ConstBytes coded, const Subject& s, MutableBytes out) {
        Bytes shuffled(out.size());
        zstd_decode(coded, shuffled);
        unshuffle(shuffled, size_of(s.dtype), out);
      });
}

Way xor_way() {
  return one_by_one(
      "XOR + planes + zstd -3", [](const Subject& s) { return planes_encode(xor_of(s.bytes, s.earlier), size_of(s.dtype)); },
      [](ConstBytes coded, const Subject& s, MutableBytes out) {
        planes_decode(coded, size_of(s.dtype), out);
        std::ranges::copy(xor_of(out, s.earlier), out.begin());
      });
}

struct Measured {
  uint64_t coded_bytes = 0;
  double encode_s = 0, decode_s = 0;
};

// One pass over all tensors, and one back: what a tensor left in the caches is gone before it is needed again.
Measured pass(const Way& way, const Subjects& subjects) {
  Measured measured;
  std::vector<checkpoint::exact::Parts> parts;
  std::vector<Bytes> coded, out;
  for (const Subject& subject : subjects) out.emplace_back(subject.bytes.size());
  measured.encode_s = seconds_of([&] { parts = way.encode(subjects); });
  for (const auto& of_tensor : parts) coded.push_back(checkpoint::exact::joined(of_tensor));
  measured.decode_s = seconds_of([&] { way.decode(coded, subjects, out); });
  for (size_t i = 0; i < subjects.size(); ++i) {
    check(out[i] == subjects[i].bytes, "every byte comes back");
    measured.coded_bytes += coded[i].size();
  }
  return measured;
}

std::vector<Measured> measure(const std::vector<Way>& ways, const Subjects& subjects, int rounds) {
  std::vector<Measured> best(ways.size());
  for (int round = 0; round <= rounds; ++round) {  // in turn, so that what else the machine does hits all alike; the first is not counted
    for (size_t w = 0; w < ways.size(); ++w) {
      const Measured now = pass(ways[w], subjects);
      if (round <= 1) best[w] = now;
      best[w].encode_s = std::min(best[w].encode_s, now.encode_s);
      best[w].decode_s = std::min(best[w].decode_s, now.decode_s);
    }
  }
  return best;
}

int run(const Arguments& arguments) {
  stay_on_one_core();
  const Subjects subjects = read_subjects(arguments);
  const std::vector<Way> ways = {memcpy_way(), zstd_way(), shuffle_way(), xor_way(), exact_way()};
  const std::vector<Measured> measured = measure(ways, subjects, arguments.rounds);
  uint64_t bytes = 0;
  for (const Subject& subject : subjects) bytes += subject.bytes.size();
  const auto size = static_cast<double>(bytes);
  fmt::print("{:.1f} MB in {} tensors, {} rounds, one core; x memcpy: of its speed in the same direction\n", size / 1e6, subjects.size(),
             arguments.rounds);
  fmt::print("{:<24} {:>8} {:>14} {:>9} {:>16} {:>9}\n", "way", "ratio", "compress MB/s", "x memcpy", "decompress MB/s", "x memcpy");
  std::vector<nlohmann::ordered_json> rows;
  for (size_t w = 0; w < ways.size(); ++w) {
    const Measured& m = measured[w];
    const double ratio = size / static_cast<double>(m.coded_bytes);
    fmt::print("{:<24} {:>8.4f} {:>14.0f} {:>9.4f} {:>16.0f} {:>9.4f}\n", ways[w].name, ratio, size / m.encode_s / 1e6,
               measured[0].decode_s / m.encode_s, size / m.decode_s / 1e6, measured[0].decode_s / m.decode_s);
    rows.push_back({{"way", ways[w].name},
                    {"bytes", bytes},
                    {"coded_bytes", m.coded_bytes},
                    {"ratio", ratio},
                    {"encode_s", m.encode_s},
                    {"decode_s", m.decode_s}});
  }
  for (const auto& row : rows) fmt::print("{}\n", row.dump());
  return 0;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main(int argc, char** argv) {
  thinwire::benchmarks::Arguments arguments;
  CLI::App app("Codes the fp32 tensors of a checkpoint in several ways, on one core, and compares sizes and speeds.", "bench_checkpoint");
  app.add_option("checkpoint", arguments.directory, "a checkpoint: <run>/checkpoints/step-N")->required()->check(CLI::ExistingDirectory);
  app.add_option("earlier", arguments.earlier, "an earlier one of the same run, to code against")->check(CLI::ExistingDirectory);
  app.add_option("--only", arguments.only, "tensors whose names begin with this: model/, optim/exp_avg/, optim/exp_avg_sq/");
  app.add_flag("--bf16", arguments.bf16, "round the tensors to bf16 first");
  app.add_option("--rounds", arguments.rounds, "times that each thing is timed")->check(CLI::Range(1, 1000));
  return thinwire::benchmarks::parse_and_run(app, argc, argv, [&] { return thinwire::benchmarks::run(arguments); });
}
