#include "compressors/plan/options.h"

namespace thinwire::compressors {

void describe(config::Section& s, PlanOptions& o) {
  s.choice("method", o.method, {"off", "lgreco"},
           "lgreco: choose each layer's strength so that the least travels at the reference's error");
  s.integer("every", o.every, {1, 1'000'000}, "optimiser steps from one plan until the next is due");
  s.integer("samples", o.samples, {1, 1'000}, "exchanges, from when a plan is due, whose sum is measured before it is made");
  s.choice("reference", o.reference, {"uniform", "accordion"},
           "whose error is the budget: the configured strength everywhere, or twice and half of it by Accordion's critical regimes");
  s.real("alpha", o.alpha, {1e-3, 1000}, "budget: this many times the reference's error");
  s.choice("metric", o.metric, {"squared", "unsquared", "relative"},
           "what is added up over layers: squared errors, their roots, or the shares of each layer's square sum times its elements");
  s.choice("objective", o.objective, {"size", "time"}, "what is minimised: bytes, or seconds by measured link and codecs");
  s.choice("candidates", o.candidates, {"family", "mixed"}, "strengths of the configured codec, or of all codecs that have one");
  s.fraction("critical_change", o.critical_change, {0, 1}, "accordion: the change of a layer's norm that makes it critical");
  s.integer("sample_elems", o.sample_elems, {0, int64_t{1} << 40}, "elements of a layer that are measured; 0: all");
  s.only({"every", "samples", "reference", "alpha", "metric", "objective", "candidates", "critical_change", "sample_elems"},
         {"method", {"lgreco"}});
  s.only({"critical_change"}, {"reference", {"accordion"}});
  s.rule("samples", [&o]() -> std::optional<std::string> {
    if (o.samples <= o.every) return std::nullopt;
    return "samples must be at most every: a plan is made from exchanges since the last one";
  });
}

}  // namespace thinwire::compressors
