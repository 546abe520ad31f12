// What every transport must do, written once: each case is run by all ranks of a world at the same time, whatever their number.
//
// A case throws where the transport is wrong; its caller must then end the other ranks, which may be waiting.
#pragma once
#include <span>

#include "comm/transport.h"

namespace thinwire::test {

struct TransportCase {
  const char* name;  // a sentence
  void (*run)(comm::Transport& transport);
};

// In this order. Those that end with a broken channel come last.
std::span<const TransportCase> transport_cases();

}  // namespace thinwire::test
