#include "models/resnet.h"

#include <ATen/ATen.h>

#include <cmath>

namespace thinwire::models {

at::Tensor GroupNorm::operator()(const at::Tensor& x) const { return at::group_norm(x, groups, weight, bias, eps); }

at::Tensor Convolution::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight, /*bias=*/{}, stride, /*padding=*/(weight.size(2) - 1) / 2);
}

at::Tensor BasicBlock::operator()(const at::Tensor& x) const {
  const auto residual = gn2(conv2(at::relu(gn1(conv1(x)))));
  // After the longer branch, as its parameters come after: backward goes the other way, and exchanges gradients in that order.
  return at::relu(residual + (downsample ? downsample->gn(downsample->conv(x)) : x));
}

ResNet::ResNet(const ModelOptions& options, int64_t num_classes, std::optional<uint64_t> seed)
    : parameters_(seed), groups_(options.groups), eps_(options.norm_eps) {
  int64_t channels = options.width;
  conv1_ = convolution("conv1", 1, channels, 3, 1);
  gn1_ = norm("gn1", channels);
  for (int64_t stage = 0; stage < options.stages; ++stage) {
    const int64_t out = options.width << stage;
    for (int64_t i = 0; i < options.blocks; ++i) {
      const bool halves = stage > 0 && i == 0;
      blocks_.push_back(block("layer" + std::to_string(stage + 1) + "." + std::to_string(i) + ".", channels, out, halves ? 2 : 1));
      channels = out;
    }
  }
  fc_.weight = parameters_.normal("fc.weight", {num_classes, channels}, 1 / std::sqrt(static_cast<double>(channels)));
  fc_bias_ = parameters_.constant("fc.bias", {num_classes}, 0);
}

Convolution ResNet::convolution(const std::string& name, int64_t in, int64_t out, int64_t side, int64_t stride) {
  const auto inputs = static_cast<double>(in * side * side);
  return {parameters_.normal(name + ".weight", {out, in, side, side}, std::sqrt(2 / inputs)), stride};
}

GroupNorm ResNet::norm(const std::string& name, int64_t channels) {
  const auto weight = parameters_.constant(name + ".weight", {channels}, 1);
  return {weight, parameters_.constant(name + ".bias", {channels}, 0), groups_, eps_};
}

BasicBlock ResNet::block(const std::string& at, int64_t in, int64_t out, int64_t stride) {
  BasicBlock b;
  b.conv1 = convolution(at + "conv1", in, out, 3, stride);
  b.gn1 = norm(at + "gn1", out);
  b.conv2 = convolution(at + "conv2", out, out, 3, 1);
  b.gn2 = norm(at + "gn2", out);
  if (stride != 1 || in != out) {
    auto conv = convolution(at + "downsample.0", in, out, 1, stride);
    b.downsample = {std::move(conv), norm(at + "downsample.1", out)};
  }
  return b;
}

at::Tensor ResNet::logits(const at::Tensor& images) const {
  auto x = at::relu(gn1_(conv1_(images.to(device()))));
  for (const auto& b : blocks_) x = b(x);
  return fc_(x.mean({2, 3})) + fc_bias_;
}

}  // namespace thinwire::models
