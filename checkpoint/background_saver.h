// Saves beside training: on one thread of their own, one at a time.
//
// All ranks begin the same saves in the same order, as with Store::save, which does the work; no other call of the store may come in
// between begin() and collect(). One thread of the rank uses a saver.
#pragma once
#include <future>
#include <optional>
#include <string>

#include "base/worker.h"
#include "checkpoint/checkpoint.h"

namespace thinwire::checkpoint {

class BackgroundSaver {
 public:
  struct Outcome {
    int64_t step = 0;
    double save_s = 0;    // from begin() until it was committed, or had failed
    std::string failure;  // why it failed, the same on every rank; empty: it is committed
  };

  explicit BackgroundSaver(Store& store) : store_(store) {}  // which must outlive the saver
  // When it goes it waits for what is under way, as long as Store::save takes.

  // Returns at once. The memory that `state` names stays as it is until collect(). Nothing may be under way.
  void begin(int64_t step, State state, RunFacts facts);
  bool under_way() const { return save_.valid(); }  // begun and not collected
  bool done() const;                                // collect() would not wait
  Outcome collect();                                // of what is under way. Throws what is no failure of the save alone: a lost peer

 private:
  Store& store_;
  std::future<Outcome> save_;
  Worker worker_;
};

}  // namespace thinwire::checkpoint
