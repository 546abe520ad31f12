// Trains a LibTorch model that Thinwire does not know, on two ranks that exchange compressed gradients or drifts:
//   train [KEY=VALUE...]      keys of the sections exchange and compress, such as compress.codec=sign
//
// The ranks are threads here, joined over loopback. Between processes only the transport is another one: comm/mpi/mpi.h, comm/grpc/grpc.h.
#include <torch/nn.h>
#include <torch/optim/adamw.h>

#include <cstdio>
#include <exception>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/driver.h"
#include "comm/loopback/loopback.h"
#include "config/load.h"
#include "exchange/attach.h"
#include "exchange/plan.h"
#include "exchange/schedule.h"

using namespace thinwire;

namespace {

constexpr int kRanks = 2;
constexpr uint64_t kSteps = 400;
constexpr double kTimeout_s = 60;

// What is chosen by name, as in the program's configuration files.
struct Options {
  exchange::ExchangeOptions exchange;
  exchange::CompressOptions compress;
};
void describe(config::Section& section, Options& options) {
  section.section("exchange", options.exchange, "when ranks exchange, and what");
  section.section("compress", options.compress, "how small");
}

torch::nn::Sequential make_model() { return torch::nn::Sequential(torch::nn::Linear(8, 64), torch::nn::Tanh(), torch::nn::Linear(64, 1)); }

// Every rank has its own part of the data: what a rank draws from a generator of its own, and never from LibTorch's default, which
// threads share.
struct Batch {
  at::Tensor inputs, targets;  // (64, 8), (64, 1)
};
Batch draw_batch(at::Generator& generator) {
  const at::Tensor inputs = at::randn({64, 8}, generator, at::kFloat);
  return {inputs, at::sin(inputs.sum(1, true))};
}

struct Result {
  at::Tensor parameters;  // all of them in a row
  double first_loss = 0, last_loss = 0;
  uint64_t sent_bytes = 0;
};

Result train_rank(comm::Transport& transport, const torch::nn::Sequential& initial, const Options& options) {
  auto model = make_model();
  std::vector<at::Tensor> parameters = model->parameters();
  {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].copy_(initial->parameters()[i]);  // replicas begin alike
  }

  std::vector<exchange::ParameterShape> shapes;
  std::vector<std::span<float>> values;
  for (const auto& parameter : model->named_parameters()) {
    const auto [rows, cols] = exchange::rows_cols(parameter.value());
    shapes.push_back({parameter.key(), rows, cols});
    values.emplace_back(parameter.value().data_ptr<float>(), static_cast<size_t>(parameter.value().numel()));
  }
  comm::Driver driver(transport, kTimeout_s);
  exchange::SlotTable table(exchange::plan_slots(shapes, options.compress), options.exchange.bucket_bytes);
  exchange::Exchange exchange(driver, std::move(table), options.compress.error_feedback, options.exchange.overlap, 1);
  const auto schedule = exchange::make_schedule(options.exchange, exchange, values);
  bool armed = false;
  exchange::point_gradients(parameters, *schedule);        // .grad is a view of what is exchanged: never set it to none
  exchange::hook_gradients(parameters, *schedule, armed);  // a bucket leaves while backward goes on

  torch::optim::AdamW optimizer(parameters, torch::optim::AdamWOptions(1e-2));
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(100 + driver.rank()));
  Result result;
  for (uint64_t step = 1; step <= kSteps; ++step) {
    const Batch batch = draw_batch(generator);
    schedule->begin_step({.step = step, .micro_batches = 1, .dense = false, .last = step == kSteps});  // gradients are zero now
    const at::Tensor loss = at::mse_loss(model->forward(batch.inputs), batch.targets);
    armed = true;  // in the last micro-batch
    loss.backward();
    armed = false;
    schedule->reduce();  // gradients are what the optimiser is to use
    optimizer.step();
    schedule->end_step();
    if (step == 1) result.first_loss = loss.item<double>();
    result.last_loss = loss.item<double>();
  }
  std::vector<at::Tensor> flat;
  for (const auto& parameter : parameters) flat.push_back(parameter.detach().flatten());
  result.parameters = at::cat(flat).clone();
  result.sent_bytes = driver.counters().sent_bytes;
  return result;
}

std::vector<Result> train_all(const Options& options) {
  torch::manual_seed(1);
  const auto initial = make_model();
  const auto hub = comm::make_loopback_hub(kRanks);
  std::vector<Result> results(kRanks);
  std::vector<std::exception_ptr> failures(kRanks);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    ranks.emplace_back([&, rank] {
      log::set_rank(rank);
      try {
        const auto transport = comm::make_loopback_transport(hub, rank);
        results[static_cast<size_t>(rank)] = train_rank(*transport, initial, options);
      } catch (const std::exception& e) {
        failures[static_cast<size_t>(rank)] = std::current_exception();
        comm::abort_loopback(*hub, rank, ExitCode::other, e.what());
      }
    });
  }
  for (auto& rank : ranks) rank.join();
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return results;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    auto root = config::describe_root(options);
    std::vector<std::string> sets = {"exchange.schedule=local_steps", "exchange.every=5", "compress.codec=sign", "compress.min_elems=1"};
    sets.insert(sets.end(), argv + 1, argv + argc);
    config::load(root, {}, sets);
    const auto results = train_all(options);
    const Result& first = results.front();
    const auto dense_bytes = 4.0 * static_cast<double>(first.parameters.numel()) * static_cast<double>(kSteps);  // 8 n (N-1)/N, N = 2
    const bool are_equal = at::equal(first.parameters, results.back().parameters);
    std::printf("loss %.4f -> %.4f in %d steps; sent %.1f kB, fp32 gradients %.1f kB (%.1f times more); replicas are %s\n",
                first.first_loss, first.last_loss, static_cast<int>(kSteps), static_cast<double>(first.sent_bytes) / 1e3, dense_bytes / 1e3,
                dense_bytes / static_cast<double>(first.sent_bytes), are_equal ? "equal to the last bit" : "NOT EQUAL");
    return are_equal && first.last_loss < first.first_loss ? 0 : 1;
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(ExitCode::other);
  }
}
