// config.json and generation_config.json of a Llama, as Hugging Face's transformers writes and reads them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "models/model.h"

namespace thinwire::trainer {

struct HfConfig {
  models::ModelOptions model;         // context is max_position_embeddings, vocab is vocab_size
  std::optional<int64_t> begin, end;  // token ids; of several that end a text, the first
};

// CheckpointError that begins with `source` and names the key, its value and what is accepted: for anything but a Llama, and for a Llama
// with what is not built (biases, scaled rotary positions, another activation, heads whose width is not hidden_size / heads).
HfConfig parse_hf_config(std::string_view json, const std::string& source);

std::string hf_config_json(const HfConfig& config, DType dtype);
std::string hf_generation_config_json(const HfConfig& config);

}  // namespace thinwire::trainer
