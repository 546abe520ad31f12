#include "trainer/pretrained/hf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/strict_json.h"

namespace thinwire::trainer {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// One object of a foreign file. A key that is absent or null has its default, as in transformers.
class Keys {
 public:
  Keys(const json& object, std::string source) : object_(object), source_(std::move(source)) {}

  [[noreturn]] void refuse(const std::string& key, const std::string& wanted) const {
    const std::string value = object_.contains(key) ? checkpoint::in_quotes(object_.at(key).dump()) : "absent";
    throw CheckpointError(fmt::format("{}: '{}' is {}, {}", source_, key, value, wanted));
  }
  const json* find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  std::optional<int64_t> integer(const std::string& key, int64_t low, int64_t high) const {
    const json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_integer() || (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX}) ||
        value->get<int64_t>() < low || value->get<int64_t>() > high) {
      refuse(key, fmt::format("and should be an integer from {} to {}", low, high));
    }
    return value->get<int64_t>();
  }
  int64_t size(const std::string& key, int64_t high) const {
    const auto value = integer(key, 1, high);
    if (!value) refuse(key, "and has to be given");
    return *value;
  }
  double real(const std::string& key, double fallback, double low, double high) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
      refuse(key, fmt::format("and should be a number from {} to {}", low, high));
    }
    return value->get<double>();
  }
  bool flag(const std::string& key, bool fallback) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) refuse(key, "and should be true or false");
    return value->get<bool>();
  }
  void only(const std::string& key, const json& accepted, const std::string& why) const {
    const json* value = find(key);
    if (value != nullptr && *value != accepted) refuse(key, fmt::format("and only {} is accepted: {}", accepted.dump(), why));
  }
  const std::string& source() const { return source_; }

 private:
  const json& object_;
  std::string source_;
};

// One id, or a list of them of which the first counts.
std::optional<int64_t> token_id(const Keys& keys, const std::string& key, int64_t vocab) {
  const json* value = keys.find(key);
  if (value == nullptr || !value->is_array()) return keys.integer(key, 0, vocab - 1);
  if (value->empty() || !value->front().is_number_unsigned() || value->front().get<uint64_t>() >= static_cast<uint64_t>(vocab)) {
    keys.refuse(key, fmt::format("and should be token ids below vocab_size {}", vocab));
  }
  return value->front().get<int64_t>();
}

// rope_theta stands at the top, or, since transformers 5, in rope_parameters.
double rope_theta(const Keys& keys) {
  constexpr double kDefault = 10000, kLow = 1, kHigh = 1e12;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const json* value = keys.find(key);
    if (value == nullptr) continue;
    if (!value->is_object()) keys.refuse(key, "and should be an object");
    const Keys rope(*value, keys.source() + ": " + key);
    const std::string why = "scaled rotary positions (linear, dynamic, yarn, llama3) are not built";
    for (const char* type : {"rope_type", "type"}) rope.only(type, "default", why);
    if (rope.find("rope_theta") != nullptr) return rope.real("rope_theta", kDefault, kLow, kHigh);
  }
  return keys.real("rope_theta", kDefault, kLow, kHigh);
}

void require_plain_llama(const Keys& keys) {
  if (keys.find("model_type") == nullptr) keys.refuse("model_type", "and should be \"llama\"");
  keys.only("model_type", "llama", "other architectures are not built");
  keys.only("architectures", json::array({"LlamaForCausalLM"}), "other heads are not built");
  keys.only("hidden_act", "silu", "the model's feed-forward layer is SwiGLU");
  keys.only("attention_bias", false, "the model's projections have no bias");
  keys.only("mlp_bias", false, "the model's projections have no bias");
  if (keys.find("quantization_config") != nullptr)
    keys.refuse("quantization_config", "and quantised weights are not read: dequantise them first");
}

const char* torch_name(DType dtype) { return dtype == DType::bf16 ? "bfloat16" : "float32"; }

void put(ordered_json& to, const char* key, const std::optional<int64_t>& id) {
  if (id) {
    to[key] = *id;
  } else {
    to[key] = nullptr;
  }
}

}  // namespace

HfConfig parse_hf_config(std::string_view text, const std::string& source) {
  const json root = checkpoint::parse_strict_json(text, source);
  if (!root.is_object()) throw CheckpointError(source + ": it is not a JSON object");
  const Keys keys(root, source);
  require_plain_llama(keys);
  HfConfig config;
  models::ModelOptions& model = config.model;
  model.d_model = keys.size("hidden_size", 65536);
  model.layers = keys.size("num_hidden_layers", 1024);
  model.heads = keys.size("num_attention_heads", 1024);
  model.kv_heads = keys.integer("num_key_value_heads", 1, 1024).value_or(model.heads);
  model.ffn = keys.size("intermediate_size", 1 << 20);
  model.vocab = keys.size("vocab_size", 1 << 24);
  model.context = keys.integer("max_position_embeddings", 1, 1 << 20).value_or(2048);
  model.norm_eps = keys.real("rms_norm_eps", 1e-6, 1e-12, 1);
  model.init_std = keys.real("initializer_range", 0.02, 0, 10);
  model.tie_embeddings = keys.flag("tie_word_embeddings", false);
  model.rope_theta = rope_theta(keys);
  if (model.d_model % (2 * model.heads) != 0) {
    keys.refuse("num_attention_heads", fmt::format("and hidden_size {} does not split into so many heads of even width", model.d_model));
  }
  if (model.heads % *model.kv_heads != 0)
    keys.refuse("num_key_value_heads", fmt::format("and does not divide num_attention_heads {}", model.heads));
  keys.only("head_dim", model.d_model / model.heads, "heads have the width hidden_size / num_attention_heads");
  config.begin = token_id(keys, "bos_token_id", *model.vocab);
  config.end = token_id(keys, "eos_token_id", *model.vocab);
  return config;
}

std::string hf_config_json(const HfConfig& config, DType dtype) {
  const models::ModelOptions& model = config.model;
  ordered_json root = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"vocab_size", model.vocab.value()},
                       {"hidden_size", model.d_model},
                       {"intermediate_size", model.ffn_width()},
                       {"num_hidden_layers", model.layers},
                       {"num_attention_heads", model.heads},
                       {"num_key_value_heads", model.kv_heads.value_or(model.heads)},
                       {"head_dim", model.d_model / model.heads},
                       {"max_position_embeddings", model.context},
                       {"hidden_act", "silu"},
                       {"rms_norm_eps", model.norm_eps},
                       {"rope_theta", model.rope_theta},
                       {"rope_scaling", nullptr},
                       {"attention_bias", false},
                       {"mlp_bias", false},
                       {"attention_dropout", 0.0},
                       {"initializer_range", model.init_std},
                       {"tie_word_embeddings", model.tie_embeddings},
                       {"use_cache", true},
                       {"torch_dtype", torch_name(dtype)}};
  put(root, "bos_token_id", config.begin);
  put(root, "eos_token_id", config.end);
  return root.dump(2) + "\n";
}

std::string hf_generation_config_json(const HfConfig& config) {
  ordered_json root = {{"_from_model_config", true}};
  put(root, "bos_token_id", config.begin);
  put(root, "eos_token_id", config.end);
  return root.dump(2) + "\n";
}

}  // namespace thinwire::trainer
