// Graphs by LibTorch's CUDA half: the whole of libthinwire_torch_cuda.so.
#include <ATen/cuda/CUDAGraph.h>

#include <optional>

#include "models/graph/graph.h"

namespace thinwire::models {

namespace {
class TorchGraph final : public Graph {
 public:
  void record(const std::function<void()>& work) override {
    graph_.emplace();
    // Of this thread alone: other threads, which exchange or serve another rank, go on allocating and copying meanwhile.
    graph_->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      end_failed_capture();
      throw;
    }
    graph_->capture_end();
  }

  void replay() override { graph_->replay(); }

 private:
  void end_failed_capture() {
    try {
      graph_->capture_end();
    } catch (const c10::Error&) {  // what made the work fail is thrown on
    }
    graph_.reset();
  }

  std::optional<at::cuda::CUDAGraph> graph_;
};
}  // namespace

}  // namespace thinwire::models

extern "C" __attribute__((visibility("default"))) thinwire::models::Graph* thinwire_make_cuda_graph() {
  return new thinwire::models::TorchGraph;
}
