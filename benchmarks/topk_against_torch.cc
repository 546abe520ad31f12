// bench_topk_against_torch: choosing 1 % of a layer, by `topk` and by at::topk, on one core.
//
// at::topk has the easier job: it is given magnitudes and returns values and indices. `topk` forms the sum with the residual, rounds,
// packs and leaves the new residual. Once at::topk works on chunks as `topk` does, once on the whole layer.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "base/text.h"
#include "compressors/topk/topk.h"
#include "timing.h"
#include "workload.h"

namespace thinwire::benchmarks {
namespace {

constexpr size_t kElems = size_t{64} << 20;
constexpr int kRounds = 5, kChunk = 4096, kKept = 41;  // 1 % of 4096, rounded

void run() {
  at::set_num_threads(1);
  stay_on_one_core();
  Workload work(kElems);
  const compressors::TopkCodec of_chunks({.density = 0.01, .chunk = kChunk}),
      of_layer({.density = 0.01, .scope = "global", .index_coding = "rice"});
  const auto time_encode = [&](const compressors::TopkCodec& codec) {
    work.prepare(codec);
    return work.encode_s(codec);
  };
  auto x = work.x();
  const at::Tensor flat = at::from_blob(x.data(), {static_cast<int64_t>(x.size())}).abs();
  const at::Tensor chunks = flat.view({-1, kChunk});
  const auto time_topk = [](const at::Tensor& magnitudes, int64_t k) {
    return seconds_of([&] { at::topk(magnitudes, k, -1, /*largest=*/true, /*sorted=*/false); });
  };
  const auto s = interleaved(
      kRounds, [&] { return time_encode(of_chunks); }, [&] { return time_encode(of_layer); }, [&] { return time_topk(chunks, kKept); },
      [&] { return time_topk(flat, static_cast<int64_t>(kElems / kChunk) * kKept); });
  const auto print = [](const char* name, double seconds, double of_chunks_s, double of_layer_s) {
    fmt::print("{:<34} {:>8.3f} s {:>7.1f} {:>7.1f}\n", name, seconds, seconds / of_chunks_s, seconds / of_layer_s);
  };
  const double chunks_s = least(s[0]), layer_s = least(s[1]);
  fmt::print("1 % of {} elements, one core; times topk of chunks, and times topk of the layer\n", with_thousands(work.layer().elems()));
  print("topk of chunks, with residual", chunks_s, chunks_s, layer_s);
  print("topk of the layer, with residual", layer_s, chunks_s, layer_s);
  print("at::topk of chunks", least(s[2]), chunks_s, layer_s);
  print("at::topk of the layer", least(s[3]), chunks_s, layer_s);
}

}  // namespace
}  // namespace thinwire::benchmarks

int main() { thinwire::benchmarks::run(); }
