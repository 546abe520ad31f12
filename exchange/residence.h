// Where the exchange's numbers live (gradients, residuals, anchors), and what schedules do to them there: the host's memory, or a GPU's.
//
// Whoever works on numbers asks their residence, and so is written once. On the host everything is done when a call returns. On a device
// calls put work on the stream that the calling thread computes on, which LibTorch's work on the same tensors is on too; so whatever one
// thread asks for happens in that order, and nothing waits but what says so. A pointer belongs to the residence that gave it.
//
// Threads: arithmetic and memory are the training thread's; fetch() and store() are anybody's, several at once.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "exchange/arithmetic.h"

namespace thinwire::exchange {

class DeviceResidence;

// A point in the work of a thread, that others can wait for.
class Mark {
 public:
  virtual ~Mark() = default;
  virtual void set() = 0;   // behind everything that the calling thread has asked for until now
  virtual void wait() = 0;  // of any thread, until all in front of the last set() is done
};

class Residence {
 public:
  virtual ~Residence() = default;
  virtual bool is_host() const { return false; }         // may the program itself read and write the numbers?
  virtual DeviceResidence* device() { return nullptr; }  // where codecs work in place; else numbers cross to the host

  virtual float* allocate(size_t elems) = 0;  // zeros
  virtual void free(float* memory) noexcept = 0;
  virtual std::unique_ptr<Mark> make_mark() = 0;

  virtual void zero(std::span<float> x) = 0;
  virtual void copy(float* to, std::span<const float> from) = 0;
  virtual void scale(std::span<float> x, float factor) = 0;
  virtual void subtract(std::span<float> out, const float* a, const float* b) = 0;  // out = a - b
  // anchor -= outer(mean), as OuterRule says; momentum: null for sgd.
  virtual void apply_outer(std::span<float> anchor, const float* mean, float* momentum, OuterRule rule) = 0;
  virtual void follow(std::span<float> parameter, const float* anchor, const float* departed) = 0;  // as arithmetic.h's

  // Beside all other work: what makes the numbers must be done (Mark::wait(), finish()), and these are done when the calls return.
  virtual void fetch(MutableBytes to_host, const void* from) = 0;
  virtual void store(void* to, ConstBytes from_host) = 0;
  virtual double square_sum(std::span<const float> x) = 0;  // in double; likewise

  virtual void finish() {}  // waits until what the calling thread has asked for is done
};

Residence& host_residence();

// Numbers of a residence, which must outlive them.
class Array {
 public:
  Array() = default;
  Array(Residence& home, size_t elems) : home_(&home), memory_(home.allocate(elems)), elems_(elems) {}
  ~Array() {
    if (memory_ != nullptr) home_->free(memory_);
  }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    swap(other);
    return *this;
  }
  void swap(Array& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(memory_, other.memory_);
    std::swap(elems_, other.elems_);
  }

  std::span<float> span() const { return {memory_, elems_}; }
  float* data() const { return memory_; }
  bool empty() const { return elems_ == 0; }
  Residence& home() const { return *home_; }

 private:
  Residence* home_ = &host_residence();
  float* memory_ = nullptr;
  size_t elems_ = 0;
};

}  // namespace thinwire::exchange
