#include "models/model.h"

#include "base/check.h"
#include "models/fused/functions.h"
#include "models/llama.h"
#include "models/resnet.h"

namespace thinwire::models {

at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& targets) {
  return fused::cross_entropy(scores.view({-1, scores.size(-1)}), targets.view({-1}).to(scores.device()));
}

at::Tensor Model::next_logits(const at::Tensor&, KvCache&) const { broken_invariant("this model continues nothing"); }

void Model::move_to(c10::Device device) {
  for (const auto& parameter : parameters()) parameter.value.set_data(parameter.value.detach().to(device));
}

int64_t Model::num_parameters() const {
  int64_t count = 0;
  for (const auto& parameter : parameters()) count += parameter.value.numel();
  return count;
}

namespace {

void describe_llama(config::Section& s, ModelOptions& o) {
  s.integer("d_model", o.d_model, {1, 65536}, "llama: width of the residual stream");
  s.integer("layers", o.layers, {1, 1024}, "llama: number of blocks");
  s.integer("heads", o.heads, {1, 1024}, "llama: attention heads");
  s.integer_or_auto("kv_heads", o.kv_heads, {1, 1024}, "llama: key and value heads (grouped-query attention); auto: as many as heads");
  s.integer_or_auto("ffn", o.ffn, {1, 1 << 20}, "llama: width of the feed-forward layer; auto: 8/3 d_model rounded up to a multiple of 32");
  s.integer_or_auto("vocab", o.vocab, {1, 1 << 24},
                    "llama: rows of the embedding; auto: as many as the tokenizer has tokens; more of them are never asked for");
  s.text(
      "init", o.init,
      "llama: a run directory, a checkpoint step-N or a folder in Hugging Face's layout whose weights training starts from; empty: drawn "
      "from run.seed");
  s.integer("context", o.context, {1, 1 << 20}, "llama: tokens per sequence");
  s.boolean("tie_embeddings", o.tie_embeddings, "llama: use the embedding as the output projection");
  s.real("rope_theta", o.rope_theta, {1, 1e12}, "llama: base of the rotary position embedding");
  s.real("init_std", o.init_std, {0, 10}, "llama: standard deviation of initial weights");
  s.only({"d_model", "layers", "heads", "kv_heads", "ffn", "vocab", "context", "tie_embeddings", "rope_theta", "init_std"},
         {"type", {"llama"}});
  s.rule("heads", [&o]() -> std::optional<std::string> {
    if (o.d_model % (2 * o.heads) == 0) return std::nullopt;
    return "d_model " + std::to_string(o.d_model) + " does not split into " + std::to_string(o.heads) +
           " heads of even width (rotary embedding turns pairs)";
  });
  s.rule("kv_heads", [&o]() -> std::optional<std::string> {
    if (o.heads % o.kv_heads.value_or(o.heads) == 0) return std::nullopt;
    return "heads " + std::to_string(o.heads) + " is not a multiple of kv_heads " + std::to_string(*o.kv_heads);
  });
}

void describe_resnet(config::Section& s, ModelOptions& o) {
  s.integer("width", o.width, {1, 4096}, "resnet: channels of the first stage; each further stage doubles them and halves the sides");
  s.integer("stages", o.stages, {1, 5}, "resnet: number of stages");
  s.integer("blocks", o.blocks, {1, 1024}, "resnet: blocks of two 3 x 3 convolutions per stage");
  s.integer("groups", o.groups, {1, 4096}, "resnet: groups of channels that are normalised together");
  s.only({"width", "stages", "blocks", "groups"}, {"type", {"resnet"}});
  s.rule("groups", [&o]() -> std::optional<std::string> {
    if (o.width % o.groups == 0) return std::nullopt;
    return "width " + std::to_string(o.width) + " is not a multiple of groups " + std::to_string(o.groups);
  });
}

}  // namespace

void describe(config::Section& s, ModelOptions& o) {
  s.choice("type", o.type, {"llama", "resnet"}, "architecture; llama trains on text, resnet on images");
  s.real("norm_eps", o.norm_eps, {1e-12, 1}, "epsilon of norms");
  describe_llama(s, o);
  describe_resnet(s, o);
}

std::unique_ptr<Model> make_model(const ModelOptions& options, int64_t num_classes, uint64_t seed) {
  if (options.sees_images()) return std::make_unique<ResNet>(options, num_classes, seed);
  return std::make_unique<Llama>(options, num_classes, seed);
}

}  // namespace thinwire::models
