#include "models/footprint.h"

#include <algorithm>

#include "models/llama.h"
#include "models/resnet.h"

namespace thinwire::models {

namespace {

constexpr double kFloat = 4, kHalf = 2;
constexpr double kPasses = 3;  // forward, and backward's products by the input and by the weight

// Widths of a block.
struct Widths {
  explicit Widths(const ModelOptions& o)
      : model(static_cast<double>(o.d_model)),
        kv(static_cast<double>(o.kv_heads.value_or(o.heads) * (o.d_model / o.heads))),
        ffn(static_cast<double>(o.ffn_width())) {}
  double matrices() const { return 2 * model * (model + kv) + 3 * model * ffn; }  // elements, of a block
  double model, kv, ffn;
};

PassFootprint llama_footprint(const ModelOptions& o, const PassShape& shape) {
  const Widths w(o);
  const auto layers = static_cast<double>(o.layers), classes = static_cast<double>(shape.num_classes);
  const double tokens = static_cast<double>(shape.samples * o.context);
  // Of a token, by block: the input and the sum of the first half, both norms, q and the attention's result; k and v; gate, up and their
  // product; a number for each norm and head. In bf16 what goes into a product is kept in that.
  const double by_model = shape.in_bf16 ? 4 * kFloat + 3 * kHalf : 6 * kFloat;
  const double by_ffn = shape.in_bf16 ? 2 * kFloat + kHalf : 3 * kFloat;
  const double block = by_model * w.model + 2 * kFloat * w.kv + by_ffn * w.ffn + kFloat * static_cast<double>(2 + o.heads);
  PassFootprint footprint;
  footprint.kept = tokens * (layers * block + 2 * kFloat * w.model + kFloat + 8);  // the last norm; the tokens themselves
  if (shape.in_bf16) footprint.kept += kHalf * (layers * w.matrices() + classes * w.model);
  footprint.scores = 2 * kFloat * tokens * classes;
  const double largest = kFloat * w.model * std::max({w.model, w.ffn, classes});
  footprint.work = std::max(0.0, largest + tokens * kFloat * (2 * w.ffn + 2 * w.model) - kFloat * tokens * classes);
  return footprint;
}

double llama_flops(const ModelOptions& o, const PassShape& shape) {
  const Widths w(o);
  const auto layers = static_cast<double>(o.layers);
  const double tokens = static_cast<double>(shape.samples * o.context);
  const double products = layers * w.matrices() + static_cast<double>(shape.num_classes) * w.model;
  const double attention = layers * w.model * static_cast<double>(o.context);  // each query meets half of the keys, twice
  return kPasses * 2 * tokens * (products + attention);
}

// visit(inputs of a convolution, its channels, its kernel's side, its output's side) in the order of the forward pass; is_shortcut: of a
// block's way around.
template <class Visit>
void for_each_convolution(const ModelOptions& o, int64_t side, Visit&& visit) {
  visit(1, o.width, 3, side, false);
  int64_t in = o.width;
  for (int64_t stage = 0; stage < o.stages; ++stage) {
    const int64_t out = o.width << stage;
    for (int64_t i = 0; i < o.blocks; ++i) {
      const bool halves = stage > 0 && i == 0;
      if (halves) side = (side + 1) / 2;
      visit(in, out, 3, side, false);
      visit(out, out, 3, side, false);
      if (halves || in != out) visit(in, out, 1, side, true);
      in = out;
    }
  }
}

// Of each convolution its output, which the norm keeps, and the rectified sum behind it; a shortcut is added without a ReLU of its own.
PassFootprint resnet_footprint(const ModelOptions& o, const PassShape& shape) {
  PassFootprint footprint;
  double largest = 0, pixels = static_cast<double>(shape.samples * shape.side * shape.side) * kFloat;
  footprint.kept = pixels;
  const double of_output = shape.in_bf16 ? kFloat + kHalf : kFloat;
  for_each_convolution(o, shape.side, [&](int64_t, int64_t out, int64_t, int64_t side, bool is_shortcut) {
    const double elems = static_cast<double>(shape.samples * out * side * side);
    footprint.kept += elems * (is_shortcut ? of_output : of_output + kFloat);
    largest = std::max(largest, elems * kFloat);
  });
  footprint.scores = 2 * kFloat * static_cast<double>(shape.samples * shape.num_classes);
  footprint.work = largest;  // a gradient of it
  return footprint;
}

double resnet_flops(const ModelOptions& o, const PassShape& shape) {
  double flops = 0;
  for_each_convolution(o, shape.side, [&](int64_t in, int64_t out, int64_t kernel, int64_t side, bool) {
    flops += 2 * static_cast<double>(in * kernel * kernel) * static_cast<double>(out * side * side);
  });
  return kPasses * static_cast<double>(shape.samples) * flops;
}

}  // namespace

std::unique_ptr<Model> make_outline(const ModelOptions& options, int64_t num_classes) {
  if (options.sees_images()) return std::make_unique<ResNet>(options, num_classes, std::nullopt);
  return std::make_unique<Llama>(options, num_classes, std::nullopt);
}

PassFootprint pass_footprint(const ModelOptions& options, const PassShape& shape) {
  return options.sees_images() ? resnet_footprint(options, shape) : llama_footprint(options, shape);
}

double pass_flops(const ModelOptions& options, const PassShape& shape) {
  return options.sees_images() ? resnet_flops(options, shape) : llama_flops(options, shape);
}

}  // namespace thinwire::models
