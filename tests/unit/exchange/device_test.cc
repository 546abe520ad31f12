// An exchange whose numbers live on a device is the host's, to the bit: means, residuals, payloads, parameters and checkpoints, under every
// schedule. Held twice: on a device that is the host's memory and works late (tests/support/hosted_exchange.h), and on a GPU where there is
// one.
#include <gmock/gmock.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "base/cuda/module.h"
#include "base/hash.h"
#include "compressors/frame.h"
#include "compressors/registry.h"
#include "exchange/device/lane.h"
#include "exchange/schedule.h"
#include "tests/support/hosted_exchange.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/planning.h"
#include "tests/unit/exchange/support.h"
#include "tests/unit/exchange/tampering.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using thinwire::testing::HostedMachine;

constexpr int kRanks = 3;
constexpr size_t kSlots = 4, kSlotElems = 500;

enum class Where { host, hosted, gpu };

// Where a rank's numbers live, in one of the three ways.
class Ground {
 public:
  explicit Ground(
      Where where, uint64_t seed = 1, HostedMachine::HasKernels has_kernels = [](const auto&) { return true; }) {
    if (where == Where::hosted) {
      hosted_ = std::make_unique<HostedMachine>(seed, std::move(has_kernels));
      device_ = std::make_unique<DeviceResidence>(hosted_->machine());
    }
    if (where == Where::gpu) {
      device_ = std::make_unique<DeviceResidence>(Machine{.runtime = cuda::runtime(),
                                                          .kernels = *static_cast<const Kernels*>(cuda::part("exchange")),
                                                          .device = 0,
                                                          .current_stream = [this] { return stream(); },
                                                          .codec = [](const auto& codec) { return codec.on_device(); }});
    }
  }
  ~Ground() {
    if (stream_ != nullptr) cuda::runtime().destroy_stream(stream_);
  }
  Residence& residence() { return device_ ? *device_ : host_residence(); }

 private:
  cuda::Stream stream() {
    const std::lock_guard lock(mutex_);
    if (stream_ == nullptr) stream_ = cuda::runtime().make_stream();
    return stream_;
  }
  std::unique_ptr<HostedMachine> hosted_;
  std::mutex mutex_;
  cuda::Stream stream_ = nullptr;
  std::unique_ptr<DeviceResidence> device_;
};

std::vector<float> on_host(Residence& residence, std::span<const float> numbers) {
  std::vector<float> copy(numbers.size());
  residence.fetch(std::as_writable_bytes(std::span(copy)), numbers.data());
  return copy;
}

using Saved = std::map<std::string, std::vector<std::byte>>;

Saved saved(const std::vector<StatePiece>& pieces) {
  Saved all;
  for (const StatePiece& piece : pieces) {
    auto& bytes = all[piece.name];
    bytes.resize(piece.memory.size());
    piece.home->fetch(bytes, piece.memory.data());
  }
  return all;
}

void load(const std::vector<StatePiece>& pieces, const Saved& from) {
  for (const StatePiece& piece : pieces) {
    const auto& bytes = from.at(piece.name);
    ASSERT_EQ(bytes.size(), piece.memory.size()) << piece.name;
    piece.home->store(piece.memory.data(), bytes);
  }
}

struct Course {
  std::string name = "", codec;
  std::vector<std::string> options = {};
  ExchangeOptions exchange = {};
  FeedbackOptions feedback = {"ef14", 0.95};
  bool reencode = false;
  uint64_t dense_until = 0;
};
void PrintTo(const Course& course, std::ostream* out) { *out << course.name; }

// What a run is, as far as anybody could tell.
struct Run {
  Values parameters = {};  // all slots
  Saved exchange = {}, schedule = {};
  std::multiset<uint64_t> received = {};  // frames
  bool operator==(const Run&) const = default;
};

// Norms are sums whose order is the device's own.
Run without_norms(Run run) {
  std::erase_if(run.exchange, [](const auto& piece) { return piece.first.starts_with("norms/") || piece.first.starts_with("measured/"); });
  return run;
}

constexpr uint64_t kSteps = 14, kHalf = 9;  // between which a delayed round is under way

Trial trial_of(const Course& course) {
  Trial trial;
  trial.ranks = kRanks;
  trial.bucket_bytes = 4 * 1100;
  trial.feedback = course.feedback;
  const compressors::CodecChoice choice;
  const std::shared_ptr<const compressors::Compressor> codec = choice.maker(course.codec, course.options)->make();
  for (const char* name : {"a", "b", "c", "d"}) {
    SlotSpec& spec =
        trial.slots.emplace_back(SlotSpec{.name = name, .rows = 20, .cols = kSlotElems / 20, .codec = codec, .text = course.codec});
    if (course.reencode) spec.combine_as = compressors::Combine::reencode;
  }
  if (course.exchange.schedule == "local_steps") assign_fragments(trial.slots, course.exchange.fragments);
  return trial;
}

// One rank of a course, from step `first` to `last`. Gradients are numbers that depend on the parameters, and parameters follow them: all
// of it is put on the device's stream and done late. In the last step one slot gets no gradient: backward never reaches it.
class Training {
 public:
  Training(comm::Transport& transport, const Trial& trial, const Course& course, Residence& residence)
      : residence_(residence), rank_(transport, trial, kPatience_s, residence) {
    const Values numbers = testing::numbers(kSlotElems, 5 + static_cast<uint64_t>(rank_.index()));
    direction_ = Array(residence, kSlotElems);
    nothing_ = Array(residence, kSlotElems);
    residence.store(direction_.data(), std::as_bytes(std::span(numbers)));
    const Values start(kSlotElems, 0.5f);
    std::vector<std::span<float>> spans;
    for (size_t s = 0; s < kSlots; ++s) {
      spans.push_back(parameters_.emplace_back(residence, kSlotElems).span());
      residence.store(spans.back().data(), std::as_bytes(std::span(start)));
    }
    rank_.exchange.measure(true);
    dense_until_ = course.dense_until;
    schedule_ = make_schedule(course.exchange, rank_.exchange, spans);
  }

  void train(uint64_t first, uint64_t last) {
    for (uint64_t step = first; step <= last; ++step) {
      schedule_->begin_step({step, 2, step <= dense_until_, step == kSteps});
      for (Slot slot = kSlots; slot-- > 0;) {
        if (step == kSteps && slot == 2) continue;
        const auto gradient = schedule_->gradient(slot);
        residence_.follow(gradient, direction_.data(), nothing_.data());
        residence_.follow(gradient, parameters_[slot].data(), nothing_.data());
        residence_.scale(gradient, 1 + 0.01f * static_cast<float>((step * 7 + slot) % 5));
        schedule_->gradient_ready(slot);
      }
      schedule_->reduce();
      for (Slot slot = 0; slot < kSlots; ++slot)
        residence_.apply_outer(parameters_[slot].span(), schedule_->gradient(slot).data(), nullptr, {.lr = 0.01f});
      schedule_->end_step();
    }
  }

  Run run() {
    rank_.exchange.join();
    Run run;
    run.schedule = saved(schedule_->state());
    run.exchange = saved(rank_.exchange.state());
    for (const Array& parameter : parameters_) {
      const auto numbers = on_host(residence_, parameter.span());
      run.parameters.insert(run.parameters.end(), numbers.begin(), numbers.end());
    }
    return run;
  }

  void resume(const Run& from) {
    load(rank_.exchange.state(), from.exchange);
    load(schedule_->state(), from.schedule);
    for (size_t s = 0; s < kSlots; ++s)
      residence_.store(parameters_[s].data(), std::as_bytes(std::span(from.parameters).subspan(kSlotElems * s, kSlotElems)));
  }

  Rank& rank() { return rank_; }

 private:
  Residence& residence_;
  Rank rank_;
  Array direction_, nothing_;
  std::vector<Array> parameters_;
  uint64_t dense_until_ = 0;
  std::unique_ptr<Schedule> schedule_;
};

// By rank. `second`: where the second half is done, from a checkpoint of the first.
std::vector<Run> runs_of(
    const Course& course, Where where, std::optional<Where> second = {},
    const HostedMachine::HasKernels& has_kernels = [](const auto&) { return true; }) {
  const Trial trial = trial_of(course);
  std::vector<Run> runs(kRanks);
  std::vector<std::multiset<uint64_t>> received(kRanks);
  std::mutex mutex;
  const auto on_all = [&](const std::function<void(comm::Transport&, size_t)>& body) {
    test::run_ranks(kRanks, [&](comm::Transport& plain) {
      const auto own = static_cast<size_t>(plain.world_rank());
      TamperingTransport listening(plain, [&](comm::Op& op) {
        const std::lock_guard lock(mutex);
        received[own].insert(hash64(ConstBytes(frame_of(op))));
      });
      body(listening, own);
    });
  };
  on_all([&](comm::Transport& transport, size_t own) {
    Ground ground(where, own + 1, has_kernels);
    Training training(transport, trial, course, ground.residence());
    training.train(1, second ? kHalf : kSteps);
    runs[own] = training.run();
  });
  if (second) {
    on_all([&](comm::Transport& transport, size_t own) {
      Ground ground(*second, own + 7, has_kernels);
      Training training(transport, trial, course, ground.residence());
      training.resume(runs[own]);
      training.train(kHalf + 1, kSteps);
      runs[own] = training.run();
    });
  }
  for (size_t rank = 0; rank < kRanks; ++rank) runs[rank].received = std::move(received[rank]);
  return runs;
}

void expect_same(const std::vector<Run>& got, const std::vector<Run>& expected, Where where) {
  for (size_t rank = 0; rank < expected.size(); ++rank) {
    SCOPED_TRACE("rank " + std::to_string(rank));
    const Run one = where == Where::gpu ? without_norms(got[rank]) : got[rank];
    const Run other = where == Where::gpu ? without_norms(expected[rank]) : expected[rank];
    EXPECT_TRUE(same_bits({one.parameters}, {other.parameters}));
    EXPECT_EQ(one.received, other.received) << "frames";
    ASSERT_EQ(one.exchange.size(), other.exchange.size());
    for (const auto& [name, bytes] : other.exchange) EXPECT_EQ(one.exchange.at(name), bytes) << name;
    for (const auto& [name, bytes] : other.schedule) EXPECT_EQ(one.schedule.at(name), bytes) << name;
  }
}

ExchangeOptions local_steps(int64_t every, int64_t delay, int64_t fragments, std::string outer = "sgd") {
  ExchangeOptions options;
  options.schedule = "local_steps";
  options.every = every;
  options.delay = delay;
  options.fragments = fragments;
  options.outer.name = std::move(outer);
  return options;
}

const std::vector<Course>& courses() {
  static const std::vector<Course> all = {
      {.name = "none", .codec = "none"},
      {.name = "bf16", .codec = "bf16"},
      {.name = "fp16", .codec = "fp16"},
      {.name = "quantize", .codec = "quantize"},
      {.name = "quantize_dense_first", .codec = "quantize", .dense_until = 5},
      {.name = "quantize_stochastic", .codec = "quantize", .options = {"rounding=stochastic"}},
      {.name = "quantize_without_feedback", .codec = "quantize", .feedback = {"none"}},
      {.name = "sign", .codec = "sign"},
      {.name = "topk", .codec = "topk", .options = {"density=10%", "chunk=64"}},
      {.name = "topk_reencoded", .codec = "topk", .options = {"density=10%", "chunk=64"}, .reencode = true},
      {.name = "topk_rice", .codec = "topk", .options = {"density=10%", "chunk=64", "index_coding=rice"}},
      {.name = "sparseloco", .codec = "sparseloco"},
      {.name = "quantize_rans", .codec = "quantize", .options = {"entropy=rans"}},
      {.name = "randomk", .codec = "randomk"},
      {.name = "int8_residuals", .codec = "quantize", .feedback = {.name = "ef14", .state = "int8"}},
      {.name = "ef21", .codec = "topk", .options = {"density=10%", "chunk=64"}, .feedback = {"ef21"}},
      {.name = "local_steps", .codec = "topk", .options = {"density=10%", "chunk=64"}, .exchange = local_steps(4, 0, 1)},
      {.name = "local_steps_sparseloco", .codec = "sparseloco", .exchange = local_steps(4, 0, 1)},
      {.name = "local_steps_quantize", .codec = "quantize", .exchange = local_steps(4, 0, 1)},
      {.name = "local_steps_dense_first", .codec = "quantize", .exchange = local_steps(4, 0, 1), .dense_until = 5},
      {.name = "diloco", .codec = "none", .exchange = local_steps(4, 0, 1, "nesterov")},
      {.name = "delayed", .codec = "topk", .options = {"density=10%", "chunk=64"}, .exchange = local_steps(4, 2, 1)},
      {.name = "fragments", .codec = "quantize", .exchange = local_steps(4, 0, 2)},
      {.name = "delayed_fragments", .codec = "quantize", .exchange = local_steps(4, 1, 2, "nesterov")},
  };
  return all;
}

class DeviceExchange : public ::testing::TestWithParam<std::pair<Course, Where>> {
 protected:
  void SetUp() override {
    if (where() == Where::gpu && !cuda::is_available()) GTEST_SKIP() << "no GPU: " << cuda::why_unavailable();
  }
  static const Course& course() { return GetParam().first; }
  static Where where() { return GetParam().second; }
};

TEST_P(DeviceExchange, HasTheBitsOfTheHost) { expect_same(runs_of(course(), where()), runs_of(course(), Where::host), where()); }

TEST_P(DeviceExchange, GoesOnFromACheckpointOfTheHostAndTheHostFromOneOfIt) {
  const auto whole = runs_of(course(), Where::host);
  expect_same(runs_of(course(), Where::host, where()), whole, where());
  expect_same(runs_of(course(), where(), Where::host), whole, where());
}

std::vector<std::pair<Course, Where>> all_courses(Where where) {
  std::vector<std::pair<Course, Where>> all;
  for (const Course& course : courses()) all.emplace_back(course, where);
  return all;
}
std::string name_of(const ::testing::TestParamInfo<std::pair<Course, Where>>& info) { return info.param.first.name; }
INSTANTIATE_TEST_SUITE_P(Hosted, DeviceExchange, ::testing::ValuesIn(all_courses(Where::hosted)), name_of);
INSTANTIATE_TEST_SUITE_P(Gpu, DeviceExchange, ::testing::ValuesIn(all_courses(Where::gpu)), name_of);

// What has no kernels crosses to the host, bucket by bucket, and is said.
TEST(ExchangeOnADevice, SendsThroughTheHostWhatHasNoKernels) {
  const auto none = [](const auto& codec) { return codec.name() == "none"; };
  for (const Course& course : courses()) {
    if (!std::set<std::string>{"none", "quantize", "topk", "local_steps", "delayed_fragments"}.contains(course.name)) continue;
    SCOPED_TRACE(course.name);
    expect_same(runs_of(course, Where::hosted, {}, none), runs_of(course, Where::host), Where::hosted);
  }
}

std::map<std::string, size_t> through_host(const Trial& trial, Where where, const HostedMachine::HasKernels& has_kernels) {
  std::map<std::string, size_t> reasons;
  test::run_ranks(1, [&](comm::Transport& transport) {
    Ground ground(where, 1, has_kernels);
    reasons = Rank(transport, trial, kPatience_s, ground.residence()).exchange.elems_through_host();
  });
  return reasons;
}

TEST(ExchangeOnADevice, SaysWhatCrossesToTheHostAndWhy) {
  const auto all = [](const auto&) { return true; };
  Trial trial;
  trial.add("a", 100, none_codec());
  trial.add("b", 200, topk_codec());
  trial.slots[1].text = "topk density=6.25%";
  using Reasons = std::map<std::string, size_t>;
  EXPECT_EQ(through_host(trial, Where::host, all), Reasons());
  EXPECT_EQ(through_host(trial, Where::hosted, all), Reasons());
  EXPECT_EQ(through_host(trial, Where::hosted, [](const auto& codec) { return codec.name() == "none"; }),
            (Reasons{{"no kernels for topk density=6.25%", 200}}));
  trial.feedback = {.name = "ef14", .state = "int8"};
  EXPECT_EQ(through_host(trial, Where::hosted, all), (Reasons{{"error feedback ef14 of state int8 works there", 300}}));
}

// A new plan moves residuals, and what owners owe, between codecs, and between the device and the host.
TEST(ExchangeOnADevice, GoesOnUnderANewPlan) {
  const PlannedTrial planned =
      planned_trial(kRanks, "{codec: quantize, min_elems: 100, plan: {method: lgreco, candidates: mixed, every: 6, samples: 2}}");
  const auto values_under = [&](Where where) {
    std::vector<SlotValues> ends(kRanks);
    std::vector<Saved> states(kRanks);
    test::run_ranks(kRanks, [&](comm::Transport& transport) {
      comm::Driver driver(transport, kPatience_s);
      Ground ground(where, static_cast<uint64_t>(driver.rank()) + 1);
      PlannedRank rank(driver, planned, ground.residence());
      for (uint64_t step = 1; step <= 20; ++step) rank.step(step);
      EXPECT_GT(rank.planner.plan().version, 1u);
      ends[static_cast<size_t>(driver.rank())] = rank.values();
      states[static_cast<size_t>(driver.rank())] = saved(rank.exchange.state());
    });
    return std::pair(ends, states);
  };
  const auto [ends, states] = values_under(Where::hosted);
  const auto [expected_ends, expected_states] = values_under(Where::host);
  for (size_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_TRUE(same_bits(ends[rank], expected_ends[rank]));
    EXPECT_EQ(states[rank], expected_states[rank]);
  }
}

// What was taken stays where it is until the reset, after which the same is taken without an allocation.
TEST(Arena, ComesToOneBlockThatIsLargeEnough) {
  int allocations = 0, live = 0;
  {
    Arena arena(
        [&](size_t bytes) {
          ++allocations;
          ++live;
          return ::operator new(bytes, std::align_val_t(256));
        },
        [&](void* memory) {
          --live;
          ::operator delete(memory, std::align_val_t(256));
        });
    const std::vector<size_t> sizes{1, 0, 3'000'000, 100, 2'000'000, 256};
    for (int round = 0; round < 3; ++round) {
      arena.reset();
      const int before = allocations;
      std::vector<std::byte*> taken;
      for (size_t i = 0; i < sizes.size(); ++i) {
        taken.push_back(arena.take(sizes[i]));
        std::fill_n(taken.back(), sizes[i], std::byte(i + 1));
      }
      for (size_t i = 0; i < sizes.size(); ++i) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(taken[i]) % 64, 0u);
        EXPECT_EQ(std::count(taken[i], taken[i] + sizes[i], std::byte(i + 1)), static_cast<std::ptrdiff_t>(sizes[i]));
      }
      EXPECT_TRUE(round == 0 || allocations == before);
    }
    EXPECT_EQ(live, 1);
  }
  EXPECT_EQ(live, 0);
}

// A round that is refused says what the host says, and leaves every residual as it was.
TEST(ExchangeOnADevice, NamesANumberThatIsNotFinite) {
  for (const bool in_residual : {false, true}) {
    for (const char* codec : {"quantize", "topk"}) {
      const auto failures_at = [&](Where where) {
        Trial trial = trial_of({.codec = codec});
        return failures_of(kRanks, [&](comm::Transport& transport) {
          Ground ground(where);
          Rank rank(transport, trial, kPatience_s, ground.residence());
          const auto own = static_cast<size_t>(rank.index());
          rank.round({7, 1, false}, trial.inputs(7)[own]);
          if (rank.index() == 1 && in_residual) {
            const float large = 3e38f;
            rank.exchange.state()[1].home->store(floats_of(rank.exchange.state()[1]).data() + 123, std::as_bytes(std::span(&large, 1)));
          }
          const SlotValues residuals = rank.residuals();
          SlotValues inputs = trial.inputs(8)[own];
          if (rank.index() == 1) inputs[1][123] = in_residual ? 3e38f : std::numeric_limits<float>::quiet_NaN();
          try {
            rank.round({8, 1, false}, inputs);
          } catch (const NonFiniteError&) {
            EXPECT_TRUE(same_bits({rank.residuals()[1]}, {residuals[1]}));
            throw;
          }
        });
      };
      const auto failures = failures_at(Where::hosted), expected = failures_at(Where::host);
      EXPECT_THAT(failures[1].what, HasSubstr("'b' on rank 1 at step 8: element 123 is"));
      EXPECT_EQ(failures[1].what, expected[1].what);
      EXPECT_TRUE(failures[1].is_non_finite_error);
      for (size_t rank = 0; rank < kRanks; ++rank) EXPECT_EQ(failures[rank].code, ExitCode::non_finite) << failures[rank].what;
    }
  }
}

// A payload that is sealed well and means nothing: the device only knows that it is bad, and the words are the host's.
TEST(ExchangeOnADevice, RefusesABadPayloadInTheHostsWords) {
  for (const char* codec : {"none", "topk"}) {
    const auto failures_at = [&](Where where) {
      Trial trial = trial_of({.codec = codec});
      trial.bucket_bytes = 4 * kSlots * kSlotElems;  // one bucket: the first bad payload is the same
      return failures_of(kRanks, [&](comm::Transport& plain) {
        TamperingTransport transport(plain, [&](comm::Op& op) {
          if (plain.world_rank() != 2 || op.peer != 0 || leg_of(op) != 0) return;
          MutableBytes body = frame_of(op).subspan(compressors::kFrameHeaderBytes);
          std::ranges::fill(body.first(8), std::byte{0xff});
          reseal(op);
        });
        Ground ground(where);
        Rank rank(transport, trial, kPatience_s, ground.residence());
        rank.round({3, 1, false}, trial.inputs(3)[static_cast<size_t>(rank.index())]);
      });
    };
    const auto failures = failures_at(Where::hosted), expected = failures_at(Where::host);
    EXPECT_THAT(failures[2].what, HasSubstr("rank 0 sent a payload that codec " + std::string(codec) + " refuses"));
    EXPECT_TRUE(failures[2].is_comm_error);
    const auto words = [](const std::string& what) { return what.substr(0, what.find(" in ")); };
    EXPECT_EQ(words(failures[2].what), words(expected[2].what));
  }
}

TEST(ExchangeOnADevice, KnowsTheNormOfItsResiduals) {
  const Trial trial = trial_of({.codec = "quantize"});
  test::run_ranks(kRanks, [&](comm::Transport& transport) {
    Ground ground(Where::hosted);
    Rank rank(transport, trial, kPatience_s, ground.residence());
    rank.exchange.measure(true);
    rank.round({3, 1, false}, trial.inputs(3)[static_cast<size_t>(rank.index())]);
    const SlotValues residuals = rank.residuals();
    double squares = 0;
    for (Slot slot = 0; slot < kSlots; ++slot) {
      double of_slot = 0;
      for (const float e : residuals[slot]) of_slot += static_cast<double>(e) * e;
      EXPECT_NEAR(rank.exchange.norms()[slot].residual / of_slot, 1, 1e-12);
      squares += of_slot;
    }
    EXPECT_GT(squares, 0);
    EXPECT_NEAR(rank.exchange.residual_norm() / std::sqrt(squares), 1, 1e-12);
  });
}

}  // namespace
}  // namespace thinwire::exchange
