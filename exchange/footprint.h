// What an exchange keeps in the memory of one rank, from the slot table alone: before there is one.
//
// Of rank 0, on the host, once every bucket has had a round. Bytes.
#pragma once
#include "exchange/options.h"
#include "exchange/traffic.h"

namespace thinwire::exchange {

struct Footprint {
  double values = 0;      // the flat array: gradients, or drifts
  double gradients = 0;   // of their own, where rounds are under way beside training (exchange.delay)
  double feedback = 0;    // residuals, estimates, and what an owner of a slice still owes
  double schedule = 0;    // anchors, outer momenta, parameters at departure
  double sketches = 0;    // what they keep from round to round
  double buffers = 0;     // frames and scratch of the rounds, all buckets
  double samples = 0;     // sums that the next plan is made from
  double rebuilding = 0;  // for a moment, when a plan is applied: the feedback of the one before
};
Footprint footprint_of(const SlotTable& table, const ExchangeOptions& exchange, const CompressOptions& compress, const Peers& peers);

// What a checkpoint holds of it, as it is in memory: of each rank, and of all together.
struct SavedBytes {
  double of_each_rank = 0, of_all = 0;
};
SavedBytes saved_bytes_of(const SlotTable& table, const ExchangeOptions& exchange, const CompressOptions& compress, const Peers& peers);

}  // namespace thinwire::exchange
