// An independent residual network: plain loops in double, written from the definition, without LibTorch. The oracle of resnet_test.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace thinwire::models::reference {

struct ResNetShape {
  int64_t width, stages, blocks, groups;
  double eps;
};

// One image (height x width, one channel) -> a score per class. `weights` by parameter name, row-major.
std::vector<double> resnet_logits(const ResNetShape& shape, const std::map<std::string, std::vector<double>>& weights,
                                  const std::vector<double>& image, int64_t height, int64_t width);

// Number of parameters by arithmetic, summed over layers.
int64_t resnet_parameters(const ResNetShape& shape, int64_t num_classes);

}  // namespace thinwire::models::reference
