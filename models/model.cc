#include "models/model.h"

#include "models/llama.h"

namespace thinwire::models {

int64_t Model::num_parameters() const {
  int64_t count = 0;
  for (const auto& parameter : parameters()) count += parameter.value.numel();
  return count;
}

void describe(config::Section& s, ModelOptions& o) {
  s.choice("type", o.type, {"llama"}, "architecture");
  s.integer("d_model", o.d_model, {1, 65536}, "width of the residual stream");
  s.integer("layers", o.layers, {1, 1024}, "number of blocks");
  s.integer("heads", o.heads, {1, 1024}, "attention heads");
  s.integer_or_auto("kv_heads", o.kv_heads, {1, 1024}, "key and value heads (grouped-query attention); auto: as many as heads");
  s.integer_or_auto("ffn", o.ffn, {1, 1 << 20}, "width of the feed-forward layer; auto: 8/3 d_model rounded up to a multiple of 32");
  s.integer("context", o.context, {1, 1 << 20}, "tokens per sequence");
  s.boolean("tie_embeddings", o.tie_embeddings, "use the embedding as the output projection");
  s.real("rope_theta", o.rope_theta, {1, 1e12}, "base of the rotary position embedding");
  s.real("norm_eps", o.norm_eps, {1e-12, 1}, "epsilon of RMSNorm");
  s.real("init_std", o.init_std, {0, 10}, "standard deviation of initial weights");
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

std::unique_ptr<Model> make_model(const ModelOptions& options, int64_t vocab_size, uint64_t seed) {
  return std::make_unique<Llama>(options, vocab_size, seed);
}

}  // namespace thinwire::models
