// thinwire_fuzz: libFuzzer's program around one target.
//
//   thinwire_fuzz --list
//   thinwire_fuzz --target=decode-topk [LIBFUZZER-ARGUMENT...] [CORPUS-FOLDER...]
//   thinwire_fuzz --target=decode-topk FILE...       replays inputs
//
// The choice stays among the arguments, because libFuzzer passes them on to the processes that it starts; it says itself that it ignores
// what begins with two dashes.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "target.h"

namespace {

thinwire::fuzz::Target chosen;

[[noreturn]] void list_and_exit(int code) {
  for (const auto& target : thinwire::fuzz::all_targets()) std::puts(target.name.c_str());
  std::exit(code);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kPrefix = "--target=";
  for (const std::string_view argument : std::span(*argv, static_cast<size_t>(*argc))) {
    if (argument == "--list") list_and_exit(0);
    if (!argument.starts_with(kPrefix)) continue;
    const auto targets = thinwire::fuzz::all_targets();
    const auto found = std::ranges::find(targets, argument.substr(kPrefix.size()), &thinwire::fuzz::Target::name);
    if (found != targets.end()) chosen = *found;
  }
  if (chosen.run) return 0;
  std::fputs("name a target (--target=NAME), one of:\n", stderr);
  list_and_exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t num_bytes) {
  chosen.run(std::as_bytes(std::span(data, num_bytes)));
  return 0;
}
