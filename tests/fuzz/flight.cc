// What is read of another rank's flight record: any bytes give a text without control characters, or CorruptData.
#include "base/flight.h"

#include "base/error.h"
#include "tests/fuzz/target.h"

namespace thinwire::fuzz {

namespace {
void run(ConstBytes bytes) {
  try {
    const flight::Snapshot snapshot = flight::parse(bytes, "input");
    for (const char c : snapshot.text(0) + flight::doing(snapshot, 0, "disk"))
      require(c == '\n' || (c >= 0x20 && c < 0x7f), "a text is printable");
  } catch (const CorruptData&) {
  }
}

std::vector<Bytes> seeds() {
  const auto recorder = std::make_shared<flight::Recorder>(1, 2);
  flight::adopt(recorder, "training");
  flight::Scope(flight::Kind::data, "batch", 0).end();
  {
    const flight::Scope outer(flight::Kind::task, "exchange of bucket 2", 41), inner(flight::Kind::wire, "all_gather", -1, 100, 0);
    Bytes seed = recorder->bytes();
    flight::adopt(nullptr);
    return {seed};
  }
}
}  // namespace

Target flight_target() { return {"flight", run, seeds}; }

}  // namespace thinwire::fuzz
