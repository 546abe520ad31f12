// Ranks as threads of one process: the test default, and `thinwire train` started alone with parallel.dp > 1.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>

#include "comm/transport.h"

namespace thinwire::comm {

class LoopbackHub;

// One hub joins `world` ranks; each rank's thread makes its own transport from it.
std::shared_ptr<LoopbackHub> make_loopback_hub(int world);
std::unique_ptr<Transport> make_loopback_transport(std::shared_ptr<LoopbackHub> hub, int rank);

}  // namespace thinwire::comm
