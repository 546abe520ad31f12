#include "checkpoint/background_saver.h"

#include <chrono>

#include "base/check.h"
#include "base/flight.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "base/trace.h"

namespace thinwire::checkpoint {

void BackgroundSaver::begin(int64_t step, State state, RunFacts facts) {
  check(!under_way(), "one save is under way at a time");
  save_ = worker_.run([this, step, state = std::move(state), facts = std::move(facts), log = log::current(), trace = trace::current(),
                       record = flight::current()] {
    log::adopt(log);
    trace::adopt(trace);
    flight::adopt(record, "saver");
    trace::set_thread(trace::kBackgroundThread);
    Outcome outcome{step, 0, ""};
    trace::Span span(trace::Lane::checkpoint, "save", step);
    try {
      store_.save(step, state, facts);
    } catch (const CheckpointError& e) {
      outcome.failure = e.what();
    }
    outcome.save_s = span.end();
    return outcome;
  });
}

bool BackgroundSaver::done() const { return save_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

BackgroundSaver::Outcome BackgroundSaver::collect() {
  check(under_way(), "what is collected was begun");
  return save_.get();
}

}  // namespace thinwire::checkpoint
