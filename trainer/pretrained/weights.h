// Weights of a trained model, wherever they lie.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "models/model.h"

namespace thinwire::trainer {

// Tensors by the names of the model's parameters; read one by one.
struct Weights {
  std::string where;  // for messages
  struct Shape {
    DType dtype;
    std::vector<int64_t> shape;
  };
  std::map<std::string, Shape> tensors;
  std::function<std::vector<std::byte>(const std::string& name)> read;
};

// Of a folder in Hugging Face's layout. `tied`: lm_head.weight, if it is there, has to be the embedding, bit for bit, and is left out.
Weights weights_of_folder(const std::filesystem::path& folder, bool tied);
// The parameters of a checkpoint step-N.
Weights weights_of_checkpoint(const std::filesystem::path& step_directory);

// Fills the model's parameters, converted to fp32. CheckpointError lists up to ten tensors that are missing, of another shape, of no
// floating-point type, or unknown to the model; the model is then unchanged.
void load_weights(const models::Model& model, const Weights& weights);

}  // namespace thinwire::trainer
