// Work on a GPU that is recorded once and put there again as a whole: a CUDA graph. Putting its two thousand operations there one by one
// takes the host as long as the device needs for them.
//
// The work is the same operations on the same memory each time: what it reads and writes besides its own temporaries must stay where it
// was, and the host's part of it (hooks, decisions) happens while recording only. LibTorch's CUDA half does the recording
// (at::cuda::CUDAGraph); it lies in a module of its own, libthinwire_torch_cuda.so, beside the program, since the program links no CUDA
// (docs/decisions/007).
#pragma once
#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>

namespace thinwire::models {

class Graph {
 public:
  virtual ~Graph() = default;
  // Runs `work`, which puts its operations on the calling thread's current stream; they are recorded and not executed. That stream must not
  // be the default one: use_own_stream(). Temporaries get memory that stays the graph's. Throws what `work` and LibTorch throw; there is
  // no graph then. Recording again replaces the graph.
  virtual void record(const std::function<void()>& work) = 0;
  virtual void replay() = 0;  // on the current stream; returns at once
};

// Empty where graphs can be recorded; else why not, for people. After why_no_cuda() is empty. Thread-safe.
const std::string& why_no_graphs();
std::unique_ptr<Graph> make_graph();  // where there is no reason against it

// Makes a stream of LibTorch's pool the calling thread's current one, for good. To be called before the device holds anything of this
// thread, since the streams of the pool do not wait for the default one.
void use_own_stream(c10::Device device);

}  // namespace thinwire::models
