// bench_device: codecs on a GPU against its memory (docs/benchmarks.md). It stands beside the CUDA module and needs nothing else of
// Thinwire.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/check.h"
#include "base/text.h"
#include "compressors/device_codec.h"
#include "compressors/registry.h"
#include "main.h"
#include "subjects.h"
#include "timing.h"
#include "workload.h"

namespace thinwire::benchmarks {
namespace {

using compressors::DeviceCodec;
using compressors::DeviceReport;
using compressors::Layer;

struct Arguments {
  Choice choice;
  std::vector<size_t> mi_elems{1, 16, 64};
  int rounds = 5;
};

std::vector<Subject> all_subjects() {
  return {{"none", {}},
          {"bf16", {}},
          {"fp16", {}},
          {"quantize", {}},
          {"quantize", {"bits=8"}},
          {"quantize", {"rounding=stochastic"}},
          {"quantize", {"scheme=qsgd"}},
          {"sign", {}},
          {"topk", {}},
          {"topk", {"density=1%"}},
          {"topk", {"density=1%", "index_coding=rice"}},
          {"topk", {"density=1%", "scope=global", "index_coding=raw"}},
          {"sparseloco", {}},
          {"sparseloco", {"index_coding=packed12"}}};
}

size_t rounded_up(size_t num_bytes) {
  return (num_bytes + DeviceCodec::kPayloadAlignment - 1) / DeviceCodec::kPayloadAlignment * DeviceCodec::kPayloadAlignment;
}

// A layer and everything that a codec needs for it, on the host and on the device.
class Rig {
 public:
  explicit Rig(size_t elems)
      : layer_{.id = 1, .rows = static_cast<int64_t>(elems / 4096), .cols = 4096},
        x_(normal_values(elems, 1)),
        residual_(normal_values(elems, 2)),
        stream_(runtime_.make_stream()),
        event_(runtime_.make_event()),
        on_x_(allocate(float_bytes())),
        on_residual_(allocate(float_bytes())),
        on_left_(allocate(float_bytes())),
        on_out_(allocate(float_bytes())),
        report_(reinterpret_cast<DeviceReport*>(allocate(sizeof(DeviceReport)))) {
    send(on_x_, x_.data(), float_bytes());
  }
  ~Rig() {
    for (void* memory : memory_) runtime_.free(memory);
    runtime_.destroy_event(event_);
    runtime_.destroy_stream(stream_);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  Layer layer() const { return layer_; }
  size_t payload_bytes() const { return payload_bytes_; }

  // Encodes and decodes by host and device: the payload, what is left and the sums must be the same bits.
  void prepare(const compressors::Codec& host, const DeviceCodec& device) {
    const auto traits = host.traits(layer_);
    payload_ = allocate(rounded_up(traits.worst_bytes));
    scratch_ = allocate(device.scratch_bytes(layer_) + 1);
    send(on_residual_, residual_.data(), float_bytes());
    encode(device, on_left_);
    const DeviceReport report = fetch<DeviceReport>(report_, 1)[0];
    check(report.fault == DeviceReport::kNoFault, "finite numbers are encoded");
    payload_bytes_ = report.payload_bytes;

    std::vector<std::byte> payload(traits.worst_bytes), scratch(traits.scratch_bytes + 64);
    void* at = scratch.data();
    size_t room = scratch.size();
    std::align(64, traits.scratch_bytes, at, room);
    compressors::Context context{.scratch = {static_cast<std::byte*>(at), traits.scratch_bytes}};
    std::vector<float> left = residual_, out = residual_;
    payload.resize(host.encode(layer_, {.x = x_.data(), .residual = left.data()}, context, payload.data()));
    check(payload == fetch<std::byte>(payload_, payload_bytes_), "host and device write the same payload");
    check(same_bits(left, fetch<float>(on_left_, left.size())), "host and device leave the same residual");
    host.decode_add(layer_, payload, 0.5f, out.data(), context);
    send(on_out_, residual_.data(), float_bytes());
    decode(device, 0.5f);
    check(same_bits(out, fetch<float>(on_out_, out.size())), "host and device decode to the same sums");
  }

  double encode_s(const DeviceCodec& device) {
    return seconds_each([&] { encode(device, on_left_); });
  }
  double encode_in_place_s(const DeviceCodec& device) {
    return seconds_each([&] { encode(device, on_residual_); });
  }
  double decode_s(const DeviceCodec& device) {
    return seconds_each([&] { decode(device, 1e-3f); });
  }
  // A copy within the device that reads and writes as many bytes in all.
  double floor_s(size_t num_bytes) {
    const size_t half = std::min(num_bytes / 2, 2 * float_bytes());
    if (copies_ == nullptr) copies_ = allocate(4 * float_bytes());
    return seconds_each([&] { runtime_.copy(copies_ + 2 * float_bytes(), copies_, half, stream_); }) * static_cast<double>(num_bytes) /
           static_cast<double>(2 * half);
  }

 private:
  static std::vector<float> normal_values(size_t elems, uint64_t seed) {
    constexpr size_t kDrawn = size_t{1} << 20;  // then they come again
    const Draw draw(seed);
    std::vector<float> values(elems);
    for (size_t i = 0; i < elems; ++i) values[i] = i < kDrawn ? static_cast<float>(draw.normal(i)) : values[i - kDrawn];
    return values;
  }
  static bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }

  size_t float_bytes() const { return static_cast<size_t>(layer_.elems()) * sizeof(float); }
  std::byte* allocate(size_t num_bytes) {
    memory_.push_back(runtime_.allocate(num_bytes));
    return static_cast<std::byte*>(memory_.back());
  }
  void send(std::byte* to, const void* from, size_t num_bytes) {
    runtime_.copy(to, from, num_bytes, stream_);
    wait();
  }
  template <class T>
  std::vector<T> fetch(const void* from, size_t count) {
    std::vector<T> values(count);
    runtime_.copy(values.data(), from, count * sizeof(T), stream_);
    wait();
    return values;
  }
  void wait() {
    using Clock = std::chrono::steady_clock;
    runtime_.record(event_, stream_);
    for (const auto deadline = Clock::now() + std::chrono::minutes(2); !runtime_.is_done(event_); std::this_thread::yield()) {
      check(Clock::now() < deadline, "the device finishes within two minutes");
    }
  }

  compressors::DeviceContext context() { return {.scratch = scratch_, .stream = stream_, .report = report_}; }
  void encode(const DeviceCodec& device, std::byte* left) {
    device.encode(
        layer_,
        {.x = reinterpret_cast<float*>(on_x_), .residual = reinterpret_cast<float*>(on_residual_), .left = reinterpret_cast<float*>(left)},
        context(), payload_);
  }
  void decode(const DeviceCodec& device, float weight) {
    device.decode_add(layer_, {payload_, payload_bytes_}, weight, reinterpret_cast<float*>(on_out_), context());
  }

  // Of one call among many that stand in line on the stream: what the host spends on it is hidden where the device takes longer.
  template <class Call>
  double seconds_each(const Call& call) {
    using Clock = std::chrono::steady_clock;
    constexpr double kEnough_s = 0.02;
    for (int calls = 4;; calls *= 4) {
      wait();
      const auto began = Clock::now();
      for (int i = 0; i < calls; ++i) call();
      wait();
      const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
      if (seconds >= kEnough_s) return seconds / calls;
    }
  }

  cuda::Runtime& runtime_ = cuda::runtime();
  Layer layer_;
  std::vector<float> x_, residual_;
  std::vector<void*> memory_;
  cuda::Stream stream_;
  cuda::Event event_;
  std::byte *on_x_, *on_residual_, *on_left_, *on_out_;
  DeviceReport* report_;
  std::byte *payload_ = nullptr, *scratch_ = nullptr, *copies_ = nullptr;
  size_t payload_bytes_ = 0;
};

void print_row(const nlohmann::ordered_json& row) {
  const auto number = [&](const char* key) { return row[key].get<double>(); };
  fmt::print("{:<11} {:<44} {:>4}", row["codec"].get<std::string>(), row["options"].get<std::string>(), row["elems"].get<size_t>() >> 20);
  for (const char* what : {"encode", "in_place", "decode"}) {
    const double s = number((std::string(what) + "_s").c_str()), floor_s = number((std::string(what) + "_floor_s").c_str());
    const double bytes = number((std::string(what) + "_bytes").c_str());
    fmt::print("  {:>8.1f} {:>6.0f} {:>4.0f}%", 1e6 * s, 1e-9 * bytes / s, 100 * floor_s / s);
  }
  fmt::print("\n");
  std::fflush(stdout);
}

nlohmann::ordered_json measure(const Subject& subject, const DeviceCodec& device, Rig& rig, int rounds) {
  const size_t elems = static_cast<size_t>(rig.layer().elems());
  const size_t encode_bytes = 12 * elems + rig.payload_bytes(), decode_bytes = 8 * elems + rig.payload_bytes();
  const auto seconds = interleaved(
      rounds, [&] { return rig.floor_s(encode_bytes); }, [&] { return rig.encode_s(device); },
      [&] { return rig.encode_in_place_s(device); }, [&] { return rig.floor_s(decode_bytes); }, [&] { return rig.decode_s(device); });
  return {{"codec", subject.codec},
          {"options", join(subject.options, " ")},
          {"elems", elems},
          {"payload_bytes", rig.payload_bytes()},
          {"encode_bytes", encode_bytes},
          {"encode_s", least(seconds[1])},
          {"encode_floor_s", least(seconds[0])},
          {"in_place_bytes", encode_bytes},
          {"in_place_s", least(seconds[2])},
          {"in_place_floor_s", least(seconds[0])},
          {"decode_bytes", decode_bytes},
          {"decode_s", least(seconds[4])},
          {"decode_floor_s", least(seconds[3])}};
}

int run(const Arguments& arguments) {
  if (!cuda::is_available()) {
    fmt::print("bench_device is skipped: {}\n", cuda::why_unavailable());
    return 0;
  }
  cuda::runtime().use(0);
  fmt::print("{}; {} rounds; us, GB/s of the bytes that must move, and the share of what a copy moves\n", cuda::runtime().describe(0),
             arguments.rounds);
  fmt::print("{:<11} {:<44} {:>4}  {:>20}  {:>20}  {:>20}\n", "codec", "options", "Mi", "encode", "encode in place", "decode_add");
  std::vector<nlohmann::ordered_json> rows;
  for (const size_t mi_elems : arguments.mi_elems) {
    for (const Subject& subject : chosen(arguments.choice, all_subjects())) {
      const auto compressor = make_compressor(subject.codec, subject.options);
      const auto* codec = dynamic_cast<const compressors::Codec*>(compressor.get());
      const auto device = codec == nullptr ? nullptr : codec->on_device();
      if (device == nullptr) {
        fmt::print("{:<11} {:<44} has no kernels: it goes through the host\n", subject.codec, join(subject.options, " "));
        continue;
      }
      Rig rig(mi_elems << 20);
      rig.prepare(*codec, *device);
      rows.push_back(measure(subject, *device, rig, arguments.rounds));
      print_row(rows.back());
    }
  }
  for (const auto& row : rows) fmt::print("{}\n", row.dump());
  return 0;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main(int argc, char** argv) {
  thinwire::benchmarks::Arguments arguments;
  CLI::App app("Times the codecs on a GPU against a copy of as many bytes within it.", "bench_device");
  thinwire::benchmarks::add_choice(app, arguments.choice);
  app.add_option("--mi-elems", arguments.mi_elems, "sizes of the layer, in 2^20 elements")->check(CLI::Range(size_t{1}, size_t{1024}));
  app.add_option("--rounds", arguments.rounds, "times that each thing is timed")->check(CLI::Range(1, 1000));
  return thinwire::benchmarks::parse_and_run(app, argc, argv, [&] { return thinwire::benchmarks::run(arguments); });
}
