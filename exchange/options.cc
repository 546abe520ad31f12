#include "exchange/options.h"

#include "base/text.h"

namespace thinwire::exchange {

void describe(config::Section& s, OuterOptions& o) {
  s.choice("name", o.name, {"sgd", "nesterov"}, "outer optimiser of local_steps; nesterov is DiLoCo's");
  s.real("lr", o.lr, {1e-6, 100}, "outer learning rate");
  s.real("momentum", o.momentum, {0, 1}, "of nesterov");
  s.only({"momentum"}, {"name", {"nesterov"}});
}

void describe(config::Section& s, ExchangeOptions& o) {
  s.choice("schedule", o.schedule, {"every_step", "local_steps"},
           "every_step: gradients; local_steps: drift of the parameters (SparseLoCo, DiLoCo)");
  s.integer("every", o.every, {1, 1'000'000}, "local_steps: optimiser steps per round");
  s.section_or_name("outer", o.outer, "name", "local_steps: the optimiser that applies the mean drift");
  s.integer("delay", o.delay, {0, 1'000'000}, "local_steps: steps that training goes on for while a round is on the wire; 0: it waits");
  s.integer("fragments", o.fragments, {1, 1'000'000}, "local_steps: parts of the model whose rounds are spread evenly over the steps");
  s.rule("delay", [&o]() -> std::optional<std::string> {
    if (o.delay <= o.every) return std::nullopt;
    return "a round has to end before the next one begins: exchange.delay is " + std::to_string(o.delay) + ", exchange.every only " +
           std::to_string(o.every);
  });
  s.rule("fragments", [&o]() -> std::optional<std::string> {
    if (o.fragments <= o.every) return std::nullopt;
    return "each fragment begins its round at a step of its own: exchange.fragments is " + std::to_string(o.fragments) +
           ", exchange.every only " + std::to_string(o.every);
  });
  s.bytes("bucket", o.bucket_bytes, {4, int64_t{1} << 34}, "fp32 values that travel together");
  s.choice("hierarchy", o.hierarchy, {"flat", "node"},
           "node: ranks of one host add up uncompressed, and only one of them talks to other hosts");
  s.boolean("overlap", o.overlap, "exchange while backward still runs");
  s.only({"every", "outer", "delay", "fragments"}, {"schedule", {"local_steps"}});
}

void describe(config::Section& s, FeedbackOptions& o) {
  s.choice("name", o.name, {"none", "ef14", "ef21", "ef21_sgdm", "econtrol"}, "what happens to what compression left out");
  s.fraction("decay", o.decay, {0, 1}, "ef14: what remains of the residual at each round");
  s.choice("state", o.state, {"fp32", "int8"}, "ef14: how residuals rest in memory; int8 takes a quarter");
  s.fraction("beta", o.beta, {1e-6, 1}, "ef21_sgdm: weight of the new gradient in the momentum");
  s.real_or_auto("eta", o.eta, {0, 1}, "econtrol: gain of the residual; auto: the contraction that the codec guarantees");
  s.choice("start", o.start, {"dense", "zero"},
           "ef21, ef21_sgdm, econtrol: the first exchange goes dense and becomes the estimates, or they start at zero");
  s.rule("state", [&o]() -> std::optional<std::string> {
    if (o.state == "fp32" || o.name == "ef14") return std::nullopt;
    return "int8 residuals are built for ef14 only, not for " + o.name;
  });
  s.only({"decay"}, {"name", {"ef14"}});
  s.only({"beta"}, {"name", {"ef21_sgdm"}});
  s.only({"eta"}, {"name", {"econtrol"}});
  s.only({"start"}, {"name", {"ef21", "ef21_sgdm", "econtrol"}});
}

void describe(config::Section& s, Rule& r) {
  s.text("match", r.match, "pattern of parameter names: * any characters, ? one");
  describe(s, r.choice);
  s.rule("match", [&r]() -> std::optional<std::string> {
    return r.match.empty() ? std::optional<std::string>("a rule needs a pattern, such as match: \"*.embed_tokens.*\"") : std::nullopt;
  });
}

namespace {
// A plan varies the strength of the codec, or of all codecs, and loses as much as the codec would everywhere.
std::optional<std::string> why_not_planned(const CompressOptions& o) {
  const auto has_strength = [&o](const std::string& codec) { return o.choice.makers.at(codec)->strength().has_value(); };
  const std::string& codec = o.choice.codec;
  const bool is_mixed = o.plan.candidates == "mixed";
  if (o.plan.method == "off" || has_strength(codec) || (is_mixed && codec != "none")) return std::nullopt;
  std::vector<std::string> codecs = compressors::codec_names();
  std::erase_if(codecs, [&](const std::string& name) { return !has_strength(name); });
  const std::string choose = "choose " + join(codecs, ", ");
  if (codec == "none") return "there is nothing to plan with codec: none, which loses nothing that a plan could spend; " + choose;
  return "codec " + codec + " has no strength that a plan could vary; " + choose + ", or plan.candidates: mixed";
}
}  // namespace

void describe(config::Section& s, CompressOptions& o) {
  describe(s, o.choice, [&o] { return o.plan.method != "off" && o.plan.candidates == "mixed"; });
  s.choice(
      "combine", o.combine, {"auto", "reencode"},
      "how payloads of several ranks add up; auto: as the codec does best; reencode: sparse payloads too are merged and thinned out by "
      "owners, so that what a rank receives does not grow with the number of ranks");
  s.section_or_name("error_feedback", o.error_feedback, "name", "memory of the compression error");
  s.integer("min_elems", o.min_elems, {0, int64_t{1} << 40}, "parameters with fewer elements travel dense");
  s.amount("start", o.start, "dense until then");
  s.list("rules", o.rules,
         "codecs for parameters by name; the first match wins; a rule's codec is none, and its options have their defaults, unless named");
  s.section_or_name("plan", o.plan, "method", "choice of each parameter's codec from measured errors");
  s.rule("plan", [&o] { return why_not_planned(o); });
  s.boolean("fallback", o.fallback, "a parameter whose residual outgrows its bound travels dense from then on");
}

}  // namespace thinwire::exchange
