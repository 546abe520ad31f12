// The envelope of everything that a codec sends (docs/formats/payload.md): says what it is, and proves that it arrived whole.
//
// A frame holds the payloads of one bucket, all of one codec. The receiver knows every field beforehand but the checksum and the
// length; anything else is a peer out of step or broken bytes, and is refused by name. Free functions without state.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace thinwire::compressors {

inline constexpr size_t kFrameHeaderBytes = 56;

struct FrameInfo {
  uint16_t codec_id = 0;
  uint16_t leg = 0;  // which message of the exchange this is: 0 contribution, 1 combined result
  uint32_t bucket = 0;
  uint64_t step = 0;
  uint64_t slot_table_hash = 0;
  uint32_t plan_version = 0;
  bool operator==(const FrameInfo&) const = default;
};

// Writes the header in front of the body that already lies at frame[kFrameHeaderBytes...]; returns the frame's length.
size_t seal_frame(MutableBytes frame, const FrameInfo& info, size_t body_bytes);

// The body (a view into `frame`) of a frame that matches `expected` in every field, else CorruptData that names the field and both values,
// behind `source` ("rank 2's contribution"). `frame` is exactly what arrived.
ConstBytes open_frame(ConstBytes frame, const FrameInfo& expected, std::string_view source);

}  // namespace thinwire::compressors
