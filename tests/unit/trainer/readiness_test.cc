// Buckets fill in the reverse order of the forward pass (exchange/slots.h) and travel in turn, so backward must make gradients ready in
// that order: a bucket with a straggler would hold up those behind it. Within a layer some become ready at the same moment, in any order.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>

#include "exchange/attach.h"
#include "models/llama.h"
#include "models/resnet.h"
#include "tests/unit/exchange/policies.h"

namespace thinwire::trainer {
namespace {

class Note : public torch::autograd::PostAccumulateGradHook {
 public:
  Note(std::vector<exchange::Slot>& order, exchange::Slot slot) : order_(order), slot_(slot) {}
  void operator()(const torch::autograd::Variable&) override { order_.push_back(slot_); }

 private:
  std::vector<exchange::Slot>& order_;
  exchange::Slot slot_;
};

std::vector<exchange::Slot> order_of_backward(const models::Model& model, const at::Tensor& inputs, const at::Tensor& targets) {
  std::vector<exchange::Slot> order;
  for (exchange::Slot slot = 0; slot < model.parameters().size(); ++slot)
    torch::autograd::impl::set_post_acc_grad_hooks(model.parameters()[slot].value, std::make_unique<Note>(order, slot));
  model.loss(inputs, targets).backward();
  return order;
}

// Buckets of about a block each; the order in which they were full.
void expect_buckets_fill_in_turn(const models::Model& model, const at::Tensor& inputs, const at::Tensor& targets, int64_t bucket_bytes) {
  std::vector<exchange::SlotSpec> slots;
  for (const auto& parameter : model.parameters()) {
    const auto [rows, cols] = exchange::rows_cols(parameter.value);
    slots.push_back({.name = parameter.name, .rows = rows, .cols = cols, .codec = exchange::testing::compressor("none")});
  }
  const exchange::SlotTable table(slots, bucket_bytes);
  ASSERT_GT(table.buckets().size(), 3u);
  const auto order = order_of_backward(model, inputs, targets);
  ASSERT_EQ(order.size(), slots.size());
  std::vector<size_t> missing;
  for (const auto& bucket : table.buckets()) missing.push_back(bucket.slots.size());
  std::vector<uint32_t> full;
  for (const exchange::Slot slot : order) {
    if (--missing[table.bucket_of(slot)] == 0) full.push_back(table.bucket_of(slot));
  }
  EXPECT_TRUE(std::is_sorted(full.begin(), full.end())) << ::testing::PrintToString(full);
}

TEST(Readiness, OfALlamaIsTheOrderInWhichBucketsFill) {
  for (const bool tied : {true, false}) {
    models::ModelOptions options;
    options.d_model = 32;
    options.layers = 4;
    options.heads = 2;
    options.context = 16;
    options.tie_embeddings = tied;
    const models::Llama model(options, 64, 1);
    const auto tokens = at::arange(32, at::kLong).view({2, 16});
    expect_buckets_fill_in_turn(model, tokens, tokens, 40'000);  // a layer has 53 kB
  }
}

TEST(Readiness, OfAResNetIsTheOrderInWhichBucketsFill) {
  models::ModelOptions options;
  options.type = "resnet";
  const models::ResNet model(options, 10, 1);
  expect_buckets_fill_in_turn(model, at::rand({4, 1, 28, 28}), at::zeros({4}, at::kLong), 20'000);
}

}  // namespace
}  // namespace thinwire::trainer
