// How long a step takes over a given link: arithmetic on bytes and measured speeds.
//
//   wire    bits that leave the host / bandwidth + messages that follow one another * latency
//   round   codecs and wire, one after the other
//   exposed every step, overlapped with backward: what backward is too short for, and at least the last bucket; else all of it
//           local steps: what the delay is too short for; without one all of it
//
// Where all ranks are on one host no link is crossed, and wire is 0. What else happens on a real network (loss, other traffic, ranks that
// come late) is not in it: a forecast is a lower bound that good links come near to.
#pragma once
#include "estimate/wire.h"

namespace thinwire::estimate {

// Of one rank, with all ranks of its host at work where that was measured so.
struct Speed {
  double pass_s = 0;       // forward and backward of a micro-batch
  double optimizer_s = 0;  // a step of it
  double codec_s = 0;      // of a round: encoding and decoding
};

struct Link {
  double bits_per_s = 1e9;  // of a host, each way
  double latency_s = 0;     // of a message, one way
};

struct StepTime {
  double compute_s = 0;  // passes and optimiser
  double wire_s = 0;     // on average over the steps of a round
  double exposed_s = 0;  // what training waits, codecs included
  double step_s() const { return compute_s + exposed_s; }
};
StepTime step_time(const Subject& subject, const Wire& wire, const Speed& speed, const Link& link);
// The same model with fp32 gradients all-reduced in a ring at every step, beside backward.
StepTime plain_step_time(const Subject& subject, const Wire& wire, const Speed& speed, const Link& link);

}  // namespace thinwire::estimate
