// What rounds put on the wire, from the slot table alone: before there is an exchange, or a byte of its memory.
//
// Counted as comm/wire.h counts: bytes handed to the transport, frames included. Payloads of codecs whose length varies are taken at what
// compressors/expected_bytes.h expects.
#pragma once
#include "exchange/options.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

// Who exchanges compressed numbers with whom: all ranks; under a hierarchy the leaders of hosts, after their host's ranks have added up.
struct Peers {
  int leaders = 1;
  int on_host = 1;  // ranks that add up first; 1: everything is flat
};
// Of `ranks` on hosts of `ranks_per_host`.
Peers peers_of(const ExchangeOptions& options, int ranks, int ranks_per_host);

struct Traffic {
  double sent_bytes = 0;     // by rank 0, in one round of every fragment
  double between_bytes = 0;  // of these, to other leaders
  int waits = 0;             // messages that have to arrive one after another, so that the latency of the link counts for each
};
struct RoundTraffic {
  Traffic compressed, dense;  // dense: of a round without codecs
};
RoundTraffic traffic_of(const SlotTable& table, const Peers& peers);

}  // namespace thinwire::exchange
