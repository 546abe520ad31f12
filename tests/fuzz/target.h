// What is fuzzed: one function of bytes for each decoder, and inputs to begin with.
//
// A target takes any bytes and returns; it throws when a contract is broken. libfuzzer.cc feeds it mutated inputs for as long as one
// likes, corpus.cc replays the seeds and the committed corpus in every `./run test`. Targets of codecs come from the registry by name.
#pragma once
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace thinwire::fuzz {

using Bytes = std::vector<std::byte>;

struct Target {
  std::string name;  // of the corpus folder too
  std::function<void(ConstBytes)> run;
  std::function<std::vector<Bytes>()> seeds;  // well-formed inputs; the same on every call
};

Target decode_target(const std::string& codec);  // decode-<codec>: a peer's bytes
Target encode_target(const std::string& codec);  // encode-<codec>: floats, there and back
Target sketch_target(const std::string& name);   // sketch-<name>: floats through all rounds
Target frame_target();
Target config_target();
Target planner_state_target();
Target exact_target();
Target extreme_target();
Target near_target();
Target manifest_target();
Target checkpoint_header_target();
Target tokenizer_target();
Target token_header_target();
Target flight_target();  // another rank's flight record
Target link_target();    // a peer's frames, and a stranger's
Target store_target();   // requests to rank 0's store
Target roster_target();  // what the store says of all ranks

std::vector<Target> all_targets();

struct BrokenContract : std::logic_error {
  using std::logic_error::logic_error;
};
[[noreturn]] inline void broken(const std::string& what) { throw BrokenContract("broken contract: " + what); }
inline void require(bool holds, const char* what) {
  if (!holds) broken(what);
}
inline void require_at(size_t element, bool holds, const char* what) {
  if (!holds) broken("element " + std::to_string(element) + " " + what);
}

}  // namespace thinwire::fuzz
