#include "exchange/device/residence.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/stopwatch.h"

namespace thinwire::exchange {

// Short waits stay short; a long one, for a backward pass that has just begun, leaves the core to others.
void wait_for(cuda::Runtime& runtime, cuda::Event event) {
  constexpr double kPatience_s = 600;
  constexpr int kYields = 200;
  const Stopwatch waited;
  for (int turn = 0; !runtime.is_done(event); ++turn) {
    if (turn < kYields) {
      std::this_thread::yield();
      continue;
    }
    if (waited.seconds() > kPatience_s) throw cuda::DeviceError("waiting for the GPU", "it has not done its work in ten minutes");
    std::this_thread::sleep_for(std::chrono::microseconds(std::clamp(static_cast<int>(waited.seconds() * 1e6 / 16), 10, 1000)));
  }
}

DeviceMark::DeviceMark(DeviceResidence& home) : home_(home), event_(home.machine().runtime.make_event()) {}
DeviceMark::~DeviceMark() { home_.machine().runtime.destroy_event(event_); }
void DeviceMark::set() { home_.machine().runtime.record(event_, home_.stream()); }
void DeviceMark::wait() { wait_for(home_.machine().runtime, event_); }

DeviceResidence::DeviceResidence(Machine machine) : machine_(std::move(machine)) { machine_.runtime.use(machine_.device); }

DeviceResidence::~DeviceResidence() {
  for (const Beside& one : all_) {
    machine_.runtime.destroy_event(one.event);
    machine_.runtime.destroy_stream(one.stream);
    machine_.runtime.free(one.sums);
  }
}

cuda::Stream DeviceResidence::stream() const {
  machine_.runtime.use(machine_.device);
  return machine_.current_stream();
}

DeviceResidence::Beside DeviceResidence::take_beside() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) {
    auto& runtime = machine_.runtime;
    auto* sums = static_cast<double*>(runtime.allocate(kSumsBytes + machine_.kernels.squares_scratch_bytes()));
    all_.push_back({runtime.make_stream(), runtime.make_event(), sums});
    return all_.back();
  }
  const Beside one = idle_.back();
  idle_.pop_back();
  return one;
}

void DeviceResidence::give_back(Beside beside) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(beside);
}

template <class Work>
void DeviceResidence::beside(Work&& work) {
  machine_.runtime.use(machine_.device);
  const Beside one = take_beside();
  work(one);
  machine_.runtime.record(one.event, one.stream);
  wait_for(machine_.runtime, one.event);
  give_back(one);
}

float* DeviceResidence::allocate(size_t elems) {
  machine_.runtime.use(machine_.device);
  auto* memory = static_cast<float*>(machine_.runtime.allocate(std::max<size_t>(elems, 1) * sizeof(float)));
  beside([&](const Beside& one) { machine_.runtime.zero(memory, elems * sizeof(float), one.stream); });
  return memory;
}

void DeviceResidence::free(float* memory) noexcept {
  try {
    finish();
  } catch (const std::exception&) {
    // The device fails, and has said so where somebody waited for its results.
  }
  machine_.runtime.free(memory);
}

void DeviceResidence::zero(std::span<float> x) { machine_.runtime.zero(x.data(), x.size_bytes(), stream()); }
void DeviceResidence::copy(float* to, std::span<const float> from) { machine_.runtime.copy(to, from.data(), from.size_bytes(), stream()); }
void DeviceResidence::scale(std::span<float> x, float factor) { machine_.kernels.scale(x.data(), x.size(), factor, stream()); }
void DeviceResidence::subtract(std::span<float> out, const float* a, const float* b) {
  machine_.kernels.subtract(out.data(), a, b, out.size(), stream());
}
void DeviceResidence::apply_outer(std::span<float> anchor, const float* mean, float* momentum, OuterRule rule) {
  machine_.kernels.apply_outer(anchor.data(), mean, momentum, anchor.size(), rule, stream());
}
void DeviceResidence::follow(std::span<float> parameter, const float* anchor, const float* departed) {
  machine_.kernels.follow(parameter.data(), anchor, departed, parameter.size(), stream());
}

void DeviceResidence::fetch(MutableBytes to_host, const void* from) {
  beside([&](const Beside& one) { machine_.runtime.copy(to_host.data(), from, to_host.size(), one.stream); });
}

void DeviceResidence::store(void* to, ConstBytes from_host) {
  beside([&](const Beside& one) { machine_.runtime.copy(to, from_host.data(), from_host.size(), one.stream); });
}

double DeviceResidence::square_sum(std::span<const float> x) {
  double sum = 0;
  beside([&](const Beside& one) {
    machine_.kernels.square_sum(x.data(), x.size(), one.sums, reinterpret_cast<std::byte*>(one.sums) + kSumsBytes, one.stream);
    machine_.runtime.copy(&sum, one.sums, sizeof sum, one.stream);
  });
  return sum;
}

void DeviceResidence::finish() {
  const cuda::Stream computes = stream();
  const Beside one = take_beside();
  machine_.runtime.record(one.event, computes);
  wait_for(machine_.runtime, one.event);
  give_back(one);
}

}  // namespace thinwire::exchange
