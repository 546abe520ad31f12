#include "exchange/options.h"

namespace thinwire::exchange {

void describe(config::Section& s, OuterOptions& o) {
  s.choice("name", o.name, {"sgd", "nesterov"}, "outer optimiser of local_steps; nesterov is DiLoCo's");
  s.real("lr", o.lr, {0, 100}, "outer learning rate");
  s.real("momentum", o.momentum, {0, 1}, "of nesterov");
}

void describe(config::Section& s, ExchangeOptions& o) {
  s.choice("schedule", o.schedule, {"every_step", "local_steps"},
           "every_step: gradients; local_steps: drift of the parameters (SparseLoCo, DiLoCo)");
  s.integer("every", o.every, {1, 1'000'000}, "local_steps: optimiser steps per round");
  s.section_or_name("outer", o.outer, "name", "local_steps: the optimiser that applies the mean drift");
  s.bytes("bucket", o.bucket_bytes, {4, int64_t{1} << 34}, "fp32 values that travel together");
  s.boolean("overlap", o.overlap, "exchange while backward still runs");
}

void describe(config::Section& s, FeedbackOptions& o) {
  s.choice("name", o.name, {"none", "ef14"}, "what happens to what compression left out");
  s.fraction("decay", o.decay, {0, 1}, "what remains of the residual at each round");
}

void describe(config::Section& s, Rule& r) {
  s.text("match", r.match, "pattern of parameter names: * any characters, ? one");
  describe(s, r.choice);
  s.rule("match", [&r]() -> std::optional<std::string> {
    return r.match.empty() ? std::optional<std::string>("a rule needs a pattern, such as match: \"*.embed_tokens.*\"") : std::nullopt;
  });
}

void describe(config::Section& s, CompressOptions& o) {
  describe(s, o.choice);
  s.section_or_name("error_feedback", o.error_feedback, "name", "memory of the compression error");
  s.integer("min_elems", o.min_elems, {0, int64_t{1} << 40}, "parameters with fewer elements travel dense");
  s.amount("start", o.start, "dense until then");
  s.list("rules", o.rules,
         "codecs for parameters by name; the first match wins; a rule's codec is none, and its options have their defaults, unless named");
}

}  // namespace thinwire::exchange
