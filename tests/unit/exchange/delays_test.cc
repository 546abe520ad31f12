// Whatever is late, the bits are the same: 200 steps of four ranks with random delays at every stage (ready, encode, post, poll, decode),
// as without. Under ThreadSanitizer this is also where lanes, schedule and loopback meet in ever new orders.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "base/hash.h"
#include "compressors/quantize/quantize.h"
#include "exchange/schedule.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

constexpr int kDelayedRanks = 4;
constexpr uint64_t kSteps = 200;

// Mostly none, sometimes some hundred microseconds.
class Delays {
 public:
  explicit Delays(bool on) : on_(on) {}
  void maybe() const {
    if (!on_) return;
    thread_local std::minstd_rand draw(static_cast<uint32_t>(std::hash<std::thread::id>()(std::this_thread::get_id())));
    if (draw() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(draw() % 300));
  }

 private:
  bool on_;
};

class LateChannel final : public comm::Channel {
 public:
  LateChannel(std::unique_ptr<comm::Channel> inner, const Delays& delays) : inner_(std::move(inner)), delays_(delays) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  int member(int index) const override { return inner_->member(index); }
  comm::Ticket post(std::span<comm::Op> ops) override {
    delays_.maybe();
    return inner_->post(ops);
  }
  comm::Status poll(comm::Ticket ticket) override {
    delays_.maybe();
    return inner_->poll(ticket);
  }
  comm::Status health() override { return inner_->health(); }
  std::vector<int> waiting_for(comm::Ticket ticket) const override { return inner_->waiting_for(ticket); }
  void abort(ExitCode code, std::string_view why) noexcept override { inner_->abort(code, why); }

 private:
  const std::unique_ptr<comm::Channel> inner_;
  const Delays& delays_;
};

class LateTransport final : public comm::Transport {
 public:
  LateTransport(comm::Transport& inner, const Delays& delays) : inner_(inner), delays_(delays) {}
  int world_rank() const override { return inner_.world_rank(); }
  int world_size() const override { return inner_.world_size(); }
  std::string_view name() const override { return inner_.name(); }
  std::unique_ptr<comm::Channel> open(const comm::Group& group, std::string_view name) override {
    return std::make_unique<LateChannel>(inner_.open(group, name), delays_);
  }

 private:
  comm::Transport& inner_;
  const Delays& delays_;
};

class LateCodec final : public compressors::Codec {
 public:
  LateCodec(CodecPtr inner, const Delays& delays) : inner_(std::move(inner)), delays_(delays) {}
  uint16_t id() const override { return inner_->id(); }
  std::string_view name() const override { return inner_->name(); }
  compressors::Traits traits(compressors::Layer layer) const override { return inner_->traits(layer); }
  size_t encode(compressors::Layer layer, compressors::In in, compressors::Context& context, std::byte* out) const override {
    delays_.maybe();
    return inner_->encode(layer, in, context, out);
  }
  void decode_add(compressors::Layer layer, ConstBytes payload, float weight, float* out, compressors::Context& context) const override {
    delays_.maybe();
    inner_->decode_add(layer, payload, weight, out, context);
  }

 private:
  const CodecPtr inner_;
  const Delays& delays_;
};

struct Course {
  std::string name, policy;
  ExchangeOptions exchange;
};

// Hashes of all parameters after all steps, by rank.
std::vector<uint64_t> ends_of(const Course& course, bool late) {
  const Delays delays(late);
  Trial trial;
  trial.ranks = kDelayedRanks;
  trial.bucket_bytes = 4 * 1500;
  trial.feedback = {course.policy, 0.95};
  const auto quantize = std::make_shared<LateCodec>(std::make_shared<compressors::QuantizeCodec>(compressors::QuantizeOptions{}), delays);
  const auto topk = std::make_shared<LateCodec>(topk_codec(0.1, 64).codec, delays);
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    trial.slots.push_back(slot(name, 1000, *name % 2 == 0 ? CodecPtr(quantize) : CodecPtr(topk)));
  }
  if (course.exchange.schedule == "local_steps") assign_fragments(trial.slots, course.exchange.fragments);

  std::vector<uint64_t> ends(kDelayedRanks);
  test::run_ranks(kDelayedRanks, [&](comm::Transport& transport) {
    LateTransport late_transport(transport, delays);
    Rank rank(late_transport, trial);
    const auto own = static_cast<size_t>(rank.index());
    std::vector<float> parameters(6000, 0.5f);
    std::vector<std::span<float>> spans;
    for (size_t s = 0; s < 6; ++s) spans.push_back(std::span(parameters).subspan(1000 * s, 1000));
    const auto schedule = make_schedule(course.exchange, rank.exchange, spans);
    const Values direction = numbers(6000, 5 + own);
    for (uint64_t step = 1; step <= kSteps; ++step) {
      schedule->begin_step({step, 1, false, step == kSteps});
      for (Slot slot = 6; slot-- > 0;) {
        const auto gradient = schedule->gradient(slot);
        for (size_t i = 0; i < 1000; ++i) gradient[i] = direction[(1000 * slot + 13 * step + i) % 6000] + 0.1f * spans[slot][i];
        delays.maybe();
        schedule->gradient_ready(slot);
      }
      schedule->reduce();
      for (Slot slot = 0; slot < 6; ++slot) {
        for (size_t i = 0; i < 1000; ++i) spans[slot][i] -= 0.01f * schedule->gradient(slot)[i];
      }
      schedule->end_step();
    }
    ends[own] = hash64(bytes_of(std::span<const float>(parameters)));
  });
  return ends;
}

class Delayed : public ::testing::TestWithParam<Course> {};

TEST_P(Delayed, EndsWithTheSameBits) {
  const auto prompt = ends_of(GetParam(), false);
  EXPECT_EQ(prompt, std::vector<uint64_t>(kDelayedRanks, prompt[0])) << "replicas agree";
  EXPECT_EQ(ends_of(GetParam(), true), prompt);
}

std::vector<Course> courses() {
  ExchangeOptions gradients, waits, overlaps;
  waits.schedule = overlaps.schedule = "local_steps";
  waits.every = 5;
  overlaps.every = 4;
  overlaps.fragments = 2;
  overlaps.delay = 2;
  return {{"every_step", "ef14", gradients},
          {"every_step_ef21", "ef21", gradients},
          {"local_steps", "ef14", waits},
          {"overlapped", "ef14", overlaps}};
}
INSTANTIATE_TEST_SUITE_P(Schedules, Delayed, ::testing::ValuesIn(courses()), [](const auto& course) { return course.param.name; });

}  // namespace
}  // namespace thinwire::exchange
