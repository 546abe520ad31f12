// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): the checksum of TensorBoard's event files. Ours are in base/hash.h.
#pragma once
#include <cstdint>

#include "base/bytes.h"

namespace thinwire {

uint32_t crc32c(ConstBytes bytes);

}  // namespace thinwire
