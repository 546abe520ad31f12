// A small tree of options with every kind of field, shaped like the real one.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/load.h"

namespace thinwire::config {

struct Topk {
  double density = 0.0625;
  int64_t chunk = 4096;
};
inline void describe(Section& s, Topk& o) {
  s.fraction("density", o.density, {0.0, 1.0}, "share of the elements that is sent");
  s.integer("chunk", o.chunk, {2, 4096}, "elements among which the largest are chosen");
}

struct Rule {
  std::string match;
  std::string codec = "none";
  Topk topk;
};
inline void describe(Section& s, Rule& o) {
  s.text("match", o.match, "names of layers");
  s.choice("codec", o.codec, {"none", "bf16", "topk"}, "codec of these layers");
  s.section("topk", o.topk, "settings of topk");
  s.only({"topk"}, {"codec", {"topk"}});
  s.rule("match", [&o]() -> std::optional<std::string> {
    if (o.match.empty()) return "a rule needs a pattern";
    return std::nullopt;
  });
}

struct Feedback {
  std::string name = "ef14";
  double decay = 1.0;
};
inline void describe(Section& s, Feedback& o) {
  s.choice("name", o.name, {"none", "ef14", "ef21"}, "kind of error feedback");
  s.real("decay", o.decay, {0.0, 1.0}, "what is kept of the residual");
  s.only({"decay"}, {"name", {"ef14", "ef21"}});
}

struct Compress {
  std::string codec = "none";
  Topk topk;
  Feedback error_feedback;
  Amount start{Amount::Unit::fraction, 0.0};
  std::vector<Rule> rules;
};
inline void describe(Section& s, Compress& o) {
  s.choice("codec", o.codec, {"none", "bf16", "topk"}, "codec of the gradients");
  s.section("topk", o.topk, "settings of topk");
  s.section_or_name("error_feedback", o.error_feedback, "name", "what becomes of the error");
  s.amount("start", o.start, "dense until then");
  s.list("rules", o.rules, "other codecs for some layers");
  s.only({"topk"}, {"codec", {"topk"}});
}

struct Optim {
  double lr = 2e-3;
  std::vector<double> betas{0.9, 0.95};
  Amount warmup{Amount::Unit::fraction, 0.1};
  double min_lr = 0;
};
inline void describe(Section& s, Optim& o) {
  s.real("lr", o.lr, {0.0, 10.0}, "peak learning rate");
  s.reals("betas", o.betas, 2, {0.0, 1.0}, "decay of the moments");
  s.amount("warmup", o.warmup, "length of the warm-up");
  s.real("min_lr", o.min_lr, {.low = 0.0}, "learning rate at the end");
  s.rule("min_lr", [&o]() -> std::optional<std::string> {
    if (o.min_lr > o.lr) return "is larger than lr";
    return std::nullopt;
  });
}

struct Run {
  std::string name = "auto";
  int64_t steps = 300;
  std::optional<int64_t> threads;
  bool verify = false;
  std::vector<std::string> files;
};
inline void describe(Section& s, Run& o) {
  s.text("name", o.name, "name of the run");
  s.integer("steps", o.steps, {.low = 1}, "optimiser steps");
  s.integer_or_auto("threads", o.threads, {1, 64}, "threads per rank");
  s.boolean("verify", o.verify, "compare hashes");
  s.texts("files", o.files, "input files");
}

struct Comm {
  double timeout_s = 60;
  int64_t bucket_bytes = 4'000'000;
};
inline void describe(Section& s, Comm& o) {
  s.seconds("timeout", o.timeout_s, {0.001, 86400.0}, "deadline of a peer");
  s.bytes("bucket", o.bucket_bytes, {1000, 1'000'000'000}, "size of a bucket");
}

struct Options {
  Run run;
  Optim optim;
  Comm comm;
  Compress compress;
};
inline void describe(Section& s, Options& o) {
  s.section("run", o.run, "the run");
  s.section("optim", o.optim, "the optimiser");
  s.section("comm", o.comm, "the wire");
  s.section("compress", o.compress, "what travels");
  s.rule("run.steps", [&o]() -> std::optional<std::string> {
    if (o.optim.warmup.to_steps(o.run.steps, 1) > o.run.steps) return "the warm-up is longer than the run";
    return std::nullopt;
  });
}

// Loads over `options`; the message of the ConfigError, or empty when all is well.
inline std::string load_error(Options& options, const std::vector<Source>& sources, const std::vector<std::string>& sets = {}) {
  Section root = describe_root(options);
  try {
    load(root, sources, sets);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}
inline std::string error_of(const std::string& yaml) {
  Options options;
  return load_error(options, {{"a.yaml", yaml}});
}
inline std::string set_error(const std::string& set) {
  Options options;
  return load_error(options, {}, {set});
}
inline Options loaded(const std::string& yaml, const std::vector<std::string>& sets = {}) {
  Options options;
  EXPECT_EQ(load_error(options, {{"a.yaml", yaml}}, sets), "");
  return options;
}
inline std::string printed(Options& options) { return print(describe_root(options)); }

}  // namespace thinwire::config
