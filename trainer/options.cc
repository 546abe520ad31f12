#include "trainer/options.h"

#include <fmt/format.h>

#include <array>
#include <functional>

#include "base/error.h"

namespace thinwire::comm {
namespace {
// What a parser says against a text, for a rule.
std::optional<std::string> refusal_of(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return std::nullopt;
}
}  // namespace

// comm knows nothing of config, so its section is described by the room that reads it.
void describe(config::Section& s, GrpcOptions& o) {
  s.text("address", o.address,
         "by which of its addresses a host is reached: auto, an interface, an address, or a subnet such as 10.0.0.0/8");
  s.text("ports", o.ports, "where a rank listens for the others: any, or a range such as 40000-40100");
  s.text("store", o.store, "HOST:PORT at which rank 0 lets ranks meet; auto: what the launcher says (docs/launch.md)");
  s.rule("ports", [&o] { return refusal_of([&o] { parse_ports(o.ports); }); });
  s.rule("store", [&o] { return o.store == "auto" ? std::nullopt : refusal_of([&o] { parse_host_port(o.store, "store"); }); });
}

void describe(config::Section& s, CommOptions& o) {
  s.choice("transport", o.transport, {"auto", "loopback", "mpi", "nccl", "grpc"},
           "auto: mpi under mpirun or srun with PMI, grpc under thinwire launch, torchrun and other srun, else ranks as threads of one "
           "process; nccl: between "
           "GPUs, started over mpi or grpc");
  s.seconds("timeout", o.timeout_s, {0.001, 86400}, "longest wait for a message from a peer, once the first step is done");
  s.seconds("start_timeout", o.start_timeout_s, {0.1, 86400}, "the same before, and until all ranks have met");
  s.integer("lanes", o.lanes, {1, 16}, "threads and channels for bulk: so many buckets are encoded or on the wire at once");
  s.section("grpc", o.grpc, "ranks without MPI");
  s.only({"grpc"}, {"transport", {"auto", "nccl", "grpc"}});
}
}  // namespace thinwire::comm

namespace thinwire::trainer {

void describe(config::Section& s, RunOptions& o) {
  s.text("name", o.name, "run directory within dir; auto: <config>-<date>-<time>");
  s.text("dir", o.dir, "where run directories are made");
  s.integer("seed", o.seed, {0, INT64_MAX}, "of initial weights, data order and every other draw");
  s.integer("steps", o.steps, {1, INT64_MAX}, "optimiser steps");
  s.choice("device", o.device, {"auto", "cpu", "cuda"}, "where the model lives; auto: on a GPU where each rank has one to itself");
  s.choice("precision", o.precision, {"auto", "fp32", "medium", "bf16"},
           "of matrix products; medium: factors rounded to bf16 where the CPU gains by it; bf16: autocast; auto: measured at the start");
  s.choice("cuda_graph", o.cuda_graph, {"auto", "on", "off"},
           "forward and backward on a GPU as one recorded graph; auto: where the exchange does not begin during backward");
  s.integer("threads", o.threads, {1, 1024}, "threads per rank within one operation");
  s.seconds("stall_timeout", o.stall_timeout_s, {0, 864000},
            "longest time in which nothing begins or ends on a rank before the run ends, once the first step is done; 0: none");
  s.integer("verify_every", o.verify_every, {0, INT64_MAX}, "steps between comparisons of parameter hashes over all ranks; 0: never");
  s.rule("name", [&o]() -> std::optional<std::string> {
    if (!o.name.empty() && o.name != "." && o.name != ".." && o.name.find('/') == std::string::npos) return std::nullopt;
    return "'" + o.name + "' is not the name of a directory within run.dir";
  });
}

void describe(config::Section& s, OptimOptions& o) {
  s.choice("name", o.name, {"adamw", "sgd"}, "optimiser");
  s.real("lr", o.lr, {0, 1e30}, "peak learning rate");
  s.reals("betas", o.betas, 2, {0, 0.9999999}, "decay of AdamW's two moments");
  s.real("eps", o.eps, {0, 1}, "of AdamW");
  s.real("momentum", o.momentum, {0, 0.9999999}, "of sgd; 0: none");
  s.boolean("nesterov", o.nesterov, "sgd: with a look ahead");
  s.real("weight_decay", o.weight_decay, {0, 100}, "on matrices; norms do not decay. adamw: decoupled; sgd: added to the gradient");
  s.real("clip", o.clip, {0, 1e30}, "largest global gradient norm; 0: no clipping");
  s.amount("warmup", o.warmup, "linear from 0");
  s.choice("schedule", o.schedule, {"cosine", "constant"}, "after warm-up");
  s.fraction("final_lr", o.final_lr, {0, 1}, "of lr, where cosine ends");
  s.only({"betas", "eps"}, {"name", {"adamw"}});
  s.only({"momentum", "nesterov"}, {"name", {"sgd"}});
  s.only({"final_lr"}, {"schedule", {"cosine"}});
}

void describe(config::Section& s, ParallelOptions& o) {
  s.integer_or_auto("dp", o.dp, {1, 4096}, "data-parallel ranks; auto: as many as the launcher started, alone 1");
}

void describe(config::Section& s, EvalOptions& o) {
  s.integer("every", o.every, {0, INT64_MAX}, "steps; 0: only at the end");
  s.integer("batches", o.batches, {1, 1'000'000}, "of micro_batch sequences or images of the validation split");
}

void describe(config::Section& s, LogOptions& o) {
  s.integer("every", o.every, {1, INT64_MAX}, "steps between console lines and metrics records");
  s.integer("layers_every", o.layers_every, {0, INT64_MAX}, "steps between records of each layer's compression error; 0: never");
  s.boolean("tensorboard", o.tensorboard, "write the metrics for TensorBoard too, to tb/");
  s.boolean("trace", o.trace, "write what each thread did when to trace/rank_NNNNN.json, for Perfetto or chrome://tracing");
}

void describe(config::Section& s, Options& o) {
  s.section("run", o.run, "the run as a whole");
  s.section("model", o.model, "what is trained");
  s.section("data", o.data, "on what");
  s.section("optim", o.optim, "how");
  s.section("parallel", o.parallel, "on how many ranks");
  s.section("comm", o.comm, "how ranks reach one another");
  s.section("exchange", o.exchange, "when they exchange and what");
  s.section("compress", o.compress, "how small");
  s.section("checkpoint", o.checkpoint, "what stays on disk");
  s.section("eval", o.eval, "validation");
  s.section("log", o.log, "console and metrics.jsonl");
  s.rule("model.type", [&o]() -> std::optional<std::string> {
    if (o.model.sees_images() == o.data.images()) return std::nullopt;
    return fmt::format("{} does not train on data.source {}: llama trains on gcide, text, tokens and synthetic, resnet on fashion_mnist",
                       o.model.type, o.data.source);
  });
  s.rule("model.vocab", [&o]() -> std::optional<std::string> {
    if (o.data.tokenizer != "none" || o.model.vocab) return std::nullopt;
    return "data.tokenizer is none, so model.vocab has to say how many tokens there are";
  });
  s.rule("model.init", [&o]() -> std::optional<std::string> {
    if (o.model.init.empty() || !o.model.sees_images()) return std::nullopt;
    return "model.init is given, but only a llama can start from another model's weights";
  });
}

int64_t micro_batches_per_rank(const data::DataOptions& data, int world) {
  const int64_t unit = data.micro_batch * world;
  if (data.global_batch % unit == 0) return data.global_batch / unit;
  const int64_t below = data.global_batch / unit * unit, above = below + unit;
  throw ConfigError(fmt::format(
      "data.global_batch {} is not a multiple of data.micro_batch {} x {} ranks = {}; the nearest that are: {}; a resume may change "
      "data.micro_batch together with the number of ranks, but not data.global_batch",
      data.global_batch, data.micro_batch, world, unit, below > 0 ? fmt::format("{} and {}", below, above) : std::to_string(above)));
}

bool may_change_on_resume(const std::string& key) {
  constexpr std::array kExact = {"run.steps",
                                 "run.name",
                                 "run.dir",
                                 "run.cuda_graph",
                                 "run.verify_every",
                                 "run.stall_timeout",
                                 "data.files",
                                 "data.validation_files",
                                 "data.test_files",
                                 "data.gcide_path",
                                 "data.fashion_mnist_path",  // the data's hash is compared
                                 "model.init"};              // a checkpoint has the weights
  constexpr std::array kSections = {"log.", "eval.", "checkpoint.", "comm."};
  for (const std::string_view exact : kExact) {
    if (key == exact) return true;
  }
  for (const std::string_view section : kSections) {
    if (key.starts_with(section)) return true;
  }
  return key == "parallel.dp";  // auto or a number: the world's size is compared, not how it was asked for
}

}  // namespace thinwire::trainer
