#include "trainer/host_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

namespace thinwire::trainer {
namespace {

std::vector<float> floats_in(ConstBytes bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(HostMemory, LiveIsWhereTheTensorIs) {
  at::Tensor tensor = at::full({2, 3}, 1.0f);
  std::vector<float> values = {1, 2};
  HostMemory host;
  EXPECT_EQ(static_cast<void*>(host.of(tensor).data()), tensor.data_ptr());
  EXPECT_EQ(host.of(tensor).size(), 24u);
  EXPECT_EQ(static_cast<void*>(host.of(std::as_writable_bytes(std::span(values))).data()), values.data());
}

TEST(HostMemory, ASnapshotStaysWhatItWas) {
  at::Tensor tensor = at::full({3}, 1.0f);
  std::vector<float> values = {1, 2};
  HostMemory host(HostMemory::Kind::snapshot);
  host.begin_snapshot();
  const ConstBytes of_tensor = host.of(tensor), of_values = host.of(std::as_writable_bytes(std::span(values))),
                   of_nothing = host.of(MutableBytes());
  host.end_snapshot();
  tensor.fill_(5);
  values = {7, 8};
  EXPECT_EQ(floats_in(of_tensor), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(floats_in(of_values), (std::vector<float>{1, 2}));
  EXPECT_TRUE(of_nothing.empty());
}

// No memory is taken for the second of the same things; what has grown gets a room of its size.
TEST(HostMemory, TheNextSnapshotFindsItsRoomsAgain) {
  at::Tensor small = at::full({3}, 1.0f), large = at::full({1000}, 2.0f);
  HostMemory host(HostMemory::Kind::snapshot);
  host.begin_snapshot();
  const auto first = host.of(small), second = host.of(large);
  host.begin_snapshot();
  small.fill_(3);
  EXPECT_EQ(host.of(small).data(), first.data());
  EXPECT_EQ(host.of(large).data(), second.data());
  EXPECT_EQ(floats_in(first), (std::vector<float>{3, 3, 3}));
  host.begin_snapshot();
  EXPECT_EQ(floats_in(host.of(large)), std::vector<float>(1000, 2));  // where the small one was
  EXPECT_EQ(host.of(small).data(), second.data());
}

TEST(HostMemory, TakesWhatRequiresGradients) {
  const at::Tensor tensor = at::arange(6, at::kFloat).reshape({2, 3}).requires_grad_(true);
  HostMemory host(HostMemory::Kind::snapshot);
  host.begin_snapshot();
  EXPECT_EQ(floats_in(host.of(tensor)), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace thinwire::trainer
