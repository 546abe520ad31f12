// Ranks as threads of one process: the test default, and `thinwire train` started alone with parallel.dp > 1.
//
// A send is done at once: its bytes are copied into the receiver's queue. A member that destroys its channel, or its transport before it
// opened the channel, is gone: who waits for its messages fails with "rank 2 left" instead of waiting for the deadline.
#pragma once
#include <memory>
#include <string_view>

#include "comm/transport.h"

namespace thinwire::comm {

class LoopbackHub;

// One hub joins `world` ranks; each rank's thread makes its own transport from it.
std::shared_ptr<LoopbackHub> make_loopback_hub(int world);
std::unique_ptr<Transport> make_loopback_transport(std::shared_ptr<LoopbackHub> hub, int rank);

// Aborts every channel of the hub on behalf of `rank`, those opened later included: for a rank's thread that ends with an exception.
void abort_loopback(LoopbackHub& hub, int rank, ExitCode code, std::string_view why) noexcept;

}  // namespace thinwire::comm
