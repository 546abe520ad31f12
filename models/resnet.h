// A residual network for small grey images (He et al., arXiv 1512.03385, section 4.2), with group normalisation (Wu and He, arXiv
// 1803.08494) in place of batch normalisation: it keeps no statistics over a batch, so N ranks compute what one rank computes in
// micro-batches. Names are torchvision's, with gn for bn.
#pragma once
#include <optional>
#include <vector>

#include "models/model.h"
#include "models/parameters.h"
#include "models/projection.h"

namespace thinwire::models {

struct GroupNorm {
  at::Tensor weight, bias;  // (C)
  int64_t groups = 1;
  double eps = 1e-5;
  at::Tensor operator()(const at::Tensor& x) const;  // over the channels and pixels of each group of each image
};

struct Convolution {
  at::Tensor weight;  // (out, in, k, k), no bias: a norm follows
  int64_t stride = 1;
  at::Tensor operator()(const at::Tensor& x) const;  // padded by (k - 1) / 2: (B, in, H, W) -> (B, out, H / stride, W / stride), rounded up
};

// relu(gn2(conv2(relu(gn1(conv1(x))))) + x); where the shape changes x passes a 1 x 1 convolution and a norm.
struct BasicBlock {
  Convolution conv1, conv2;
  GroupNorm gn1, gn2;
  struct Downsample {
    Convolution conv;
    GroupNorm gn;
  };
  std::optional<Downsample> downsample;
  at::Tensor operator()(const at::Tensor& x) const;
};

// A 3 x 3 convolution to `width` channels, `stages` stages of `blocks` blocks, the mean over all pixels, and a linear layer. From the
// second stage on, the first block halves the sides and doubles the channels.
class ResNet : public Model {
 public:
  ResNet(const ModelOptions& options, int64_t num_classes, std::optional<uint64_t> seed);  // without one: an outline (footprint.h)

  const std::vector<Parameter>& parameters() const override { return parameters_.all(); }
  at::Tensor logits(const at::Tensor& images) const override;  // fp32 (B, 1, H, W) -> (B, num_classes); any H and W

 private:
  // Kaiming initialisation (He et al., arXiv 1502.01852, equation 10): variance 2 / (inputs of one output), as half of them are cut by
  // ReLU.
  Convolution convolution(const std::string& name, int64_t in, int64_t out, int64_t side, int64_t stride);
  GroupNorm norm(const std::string& name, int64_t channels);
  BasicBlock block(const std::string& at, int64_t in, int64_t out, int64_t stride);

  Parameters parameters_;
  int64_t groups_;
  double eps_;
  Convolution conv1_;
  GroupNorm gn1_;
  std::vector<BasicBlock> blocks_;  // of all stages
  Projection fc_;
  at::Tensor fc_bias_;
};

}  // namespace thinwire::models
