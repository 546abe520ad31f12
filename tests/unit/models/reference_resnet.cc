#include "tests/unit/models/reference_resnet.h"

#include <algorithm>
#include <cmath>

namespace thinwire::models::reference {

namespace {
using Weights = std::map<std::string, std::vector<double>>;

struct Picture {
  int64_t channels, height, width;
  std::vector<double> values;
  // Zero outside.
  double at(int64_t c, int64_t y, int64_t x) const {
    if (y < 0 || y >= height || x < 0 || x >= width) return 0;
    return values[static_cast<size_t>((c * height + y) * width + x)];
  }
};

Picture convolve(const std::vector<double>& w, const Picture& in, int64_t side, int64_t stride) {
  const int64_t out_channels = static_cast<int64_t>(w.size()) / (in.channels * side * side);
  Picture out{out_channels, (in.height + stride - 1) / stride, (in.width + stride - 1) / stride, {}};
  for (int64_t o = 0; o < out.channels; ++o) {
    for (int64_t y = 0; y < out.height; ++y) {
      for (int64_t x = 0; x < out.width; ++x) {
        double sum = 0;
        for (int64_t c = 0; c < in.channels; ++c) {
          for (int64_t dy = 0; dy < side; ++dy) {
            for (int64_t dx = 0; dx < side; ++dx) {
              const double weight = w[static_cast<size_t>(((o * in.channels + c) * side + dy) * side + dx)];
              sum += weight * in.at(c, y * stride + dy - side / 2, x * stride + dx - side / 2);
            }
          }
        }
        out.values.push_back(sum);
      }
    }
  }
  return out;
}

Picture normalise(const Weights& w, const std::string& name, Picture x, int64_t groups, double eps) {
  const auto pixels = static_cast<size_t>(x.height * x.width), size = x.values.size() / static_cast<size_t>(groups);
  for (size_t begin = 0; begin < x.values.size(); begin += size) {
    double mean = 0, variance = 0;
    for (size_t i = begin; i < begin + size; ++i) mean += x.values[i] / static_cast<double>(size);
    for (size_t i = begin; i < begin + size; ++i) variance += (x.values[i] - mean) * (x.values[i] - mean) / static_cast<double>(size);
    for (size_t i = begin; i < begin + size; ++i) {
      const size_t channel = i / pixels;
      x.values[i] = (x.values[i] - mean) / std::sqrt(variance + eps) * w.at(name + ".weight")[channel] + w.at(name + ".bias")[channel];
    }
  }
  return x;
}

Picture rectify(Picture x) {
  for (double& v : x.values) v = std::max(v, 0.0);
  return x;
}

Picture block(const ResNetShape& s, const Weights& w, const std::string& at, const Picture& x, int64_t stride) {
  const auto norm = [&](const std::string& name, Picture y) { return normalise(w, at + name, std::move(y), s.groups, s.eps); };
  const Picture inner = rectify(norm("gn1", convolve(w.at(at + "conv1.weight"), x, 3, stride)));
  Picture y = norm("gn2", convolve(w.at(at + "conv2.weight"), inner, 3, 1));
  const Picture shortcut = stride == 1 ? x : norm("downsample.1", convolve(w.at(at + "downsample.0.weight"), x, 1, stride));
  for (size_t i = 0; i < y.values.size(); ++i) y.values[i] += shortcut.values[i];
  return rectify(std::move(y));
}
}  // namespace

std::vector<double> resnet_logits(const ResNetShape& s, const Weights& w, const std::vector<double>& image, int64_t height, int64_t width) {
  Picture x = rectify(normalise(w, "gn1", convolve(w.at("conv1.weight"), {1, height, width, image}, 3, 1), s.groups, s.eps));
  for (int64_t stage = 1; stage <= s.stages; ++stage) {
    for (int64_t i = 0; i < s.blocks; ++i) {
      x = block(s, w, "layer" + std::to_string(stage) + "." + std::to_string(i) + ".", x, stage > 1 && i == 0 ? 2 : 1);
    }
  }
  std::vector<double> scores = w.at("fc.bias");
  for (size_t o = 0; o < scores.size(); ++o) {
    for (int64_t c = 0; c < x.channels; ++c) {
      double mean = 0;
      for (int64_t p = 0; p < x.height * x.width; ++p) mean += x.values[static_cast<size_t>(c * x.height * x.width + p)];
      scores[o] +=
          w.at("fc.weight")[o * static_cast<size_t>(x.channels) + static_cast<size_t>(c)] * mean / static_cast<double>(x.height * x.width);
    }
  }
  return scores;
}

int64_t resnet_parameters(const ResNetShape& s, int64_t num_classes) {
  const auto norm = [](int64_t channels) { return 2 * channels; };
  int64_t count = 9 * s.width + norm(s.width), in = s.width;
  for (int64_t stage = 0, out = s.width; stage < s.stages; ++stage, out *= 2) {
    count += 9 * in * out + 9 * out * out + 2 * norm(out) + (s.blocks - 1) * (18 * out * out + 2 * norm(out));
    if (stage > 0) count += in * out + norm(out);
    in = out;
  }
  return count + num_classes * (in + 1);
}

}  // namespace thinwire::models::reference
