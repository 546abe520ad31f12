#include "trainer/pretrained/weights.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cstring>

#include "base/log.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/saved_model.h"
#include "checkpoint/strict_json.h"

namespace thinwire::trainer {

namespace {

constexpr const char* kPrefix = "model/";  // of parameters in a checkpoint's state
constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr size_t kMostListed = 10;

at::ScalarType type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return at::kFloat;
    case DType::bf16: return at::kBFloat16;
    case DType::f16: return at::kHalf;
    case DType::f64: return at::kDouble;
    default: return at::ScalarType::Undefined;
  }
}

std::vector<std::string> differences(const models::Model& model, const Weights& weights) {
  std::vector<std::string> lines;
  std::map<std::string, const at::Tensor*> wanted;
  for (const auto& parameter : model.parameters()) wanted[parameter.name] = &parameter.value;
  for (const auto& [name, value] : wanted) {
    const auto found = weights.tensors.find(name);
    if (found == weights.tensors.end()) {
      lines.push_back(fmt::format("{} {}: missing there", name, checkpoint::describe_tensor(DType::f32, value->sizes().vec())));
    } else if (found->second.shape != value->sizes().vec() || type_of(found->second.dtype) == at::ScalarType::Undefined) {
      lines.push_back(fmt::format("{}: {} there, {} in this model", name,
                                  checkpoint::describe_tensor(found->second.dtype, found->second.shape),
                                  checkpoint::describe_tensor(DType::f32, value->sizes().vec())));
    }
  }
  for (const auto& [name, shape] : weights.tensors) {
    if (wanted.contains(name)) continue;
    lines.push_back(fmt::format("{} {}: this model has no such tensor", checkpoint::in_quotes(name),
                                checkpoint::describe_tensor(shape.dtype, shape.shape)));
  }
  return lines;
}

// Old Llamas keep the frequencies of their rotary positions, which follow from config.json.
bool is_derived(const std::string& name) { return name.ends_with(".rotary_emb.inv_freq"); }

}  // namespace

Weights weights_of_folder(const std::filesystem::path& path, bool tied) {
  const auto folder = std::make_shared<const checkpoint::ModelFolder>(path);
  Weights weights{path.string(), {}, [folder](const std::string& name) { return folder->read(name); }};
  for (const auto& [name, place] : folder->tensors()) {
    if (!is_derived(name)) weights.tensors[name] = {place.entry.dtype, place.entry.shape};
  }
  const bool has_both = weights.tensors.contains(kHead) && weights.tensors.contains(kEmbedding);
  if (tied && has_both) {
    if (folder->read(kHead) != folder->read(kEmbedding)) {
      throw CheckpointError(
          fmt::format("{}: tie_word_embeddings is true in config.json, but {} and {} differ", path.string(), kHead, kEmbedding));
    }
    weights.tensors.erase(kHead);
  }
  return weights;
}

Weights weights_of_checkpoint(const std::filesystem::path& path) {
  const auto saved = std::make_shared<checkpoint::SavedModel>(path);
  Weights weights{path.string(), {}, [saved](const std::string& name) { return saved->read(kPrefix + name); }};
  bool differ = false;
  for (const auto& [name, tensor] : saved->tensors(kPrefix)) {
    weights.tensors[name.substr(std::strlen(kPrefix))] = {tensor.dtype, tensor.shape};
    differ = differ || saved->is_per_rank(name);
  }
  if (weights.tensors.empty()) throw CheckpointError(path.string() + ": it holds no parameters of a model");
  if (differ) {
    log::warn(
        "{} was saved between two exchanges, when replicas differ: rank 0's is taken; a checkpoint of a step that is a multiple of "
        "exchange.every has one for all",
        path.string());
  }
  return weights;
}

void load_weights(const models::Model& model, const Weights& weights) {
  const auto lines = differences(model, weights);
  if (!lines.empty()) {
    std::string text =
        fmt::format("{} does not fit the model, {} difference{}:", weights.where, lines.size(), lines.size() == 1 ? "" : "s");
    for (size_t i = 0; i < lines.size() && i < kMostListed; ++i) text += "\n  " + lines[i];
    if (lines.size() > kMostListed) text += fmt::format("\n  and {} more", lines.size() - kMostListed);
    throw CheckpointError(text);
  }
  const c10::AutoGradMode no_grad(false);
  for (const auto& parameter : model.parameters()) {
    const Weights::Shape& shape = weights.tensors.at(parameter.name);
    const std::vector<std::byte> bytes = weights.read(parameter.name);
    auto value = at::empty(shape.shape, type_of(shape.dtype));
    check(bytes.size() == value.nbytes(), "a tensor has the bytes of its shape");
    if (!bytes.empty()) std::memcpy(value.data_ptr(), bytes.data(), bytes.size());
    parameter.value.copy_(value);
  }
}

}  // namespace thinwire::trainer
