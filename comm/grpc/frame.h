// What travels on a stream between two ranks (docs/formats/grpc.md): messages cut into parts, and what the two ends say to each other about
// them. Internal to grpc; knows no gRPC.
//
// Each frame is a header of 16 bytes and a payload. Every byte of a received frame is distrusted: parse functions throw CorruptData.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace thinwire::comm {

inline constexpr uint32_t kLinkVersion = 1;
inline constexpr size_t kPartBytes = size_t{512} << 10;  // payload of one frame: gRPC is quickest around here (docs/decisions/013-grpc.md)
inline constexpr size_t kWindowBytes = size_t{8} << 20;  // what a peer may send ahead of the receiver's consumption, headers included
inline constexpr size_t kFrameHeaderBytes = 16;
inline constexpr size_t kMostTextBytes = 4096;  // of a name, a reason, a token

struct FrameHeader {
  enum class Kind : uint8_t {
    hello = 1,    // payload: Hello. The first frame in each direction
    message = 2,  // value: length of the whole message; payload: its first part
    part = 3,     // value: offset of this part within its message
    credit = 4,   // value: bytes that the receiver has consumed and the sender may send anew
    abort = 5,    // code: exit code; payload: why
    bye = 6,      // no message follows
  };
  Kind kind = Kind::bye;
  uint32_t code = 0;
  uint64_t value = 0;
};

std::array<std::byte, kFrameHeaderBytes> encode(const FrameHeader& header);
// `payload_bytes`: what follows the header. CorruptData for an unknown kind, bytes that must be zero, or a payload of an impossible size.
FrameHeader parse_header(ConstBytes header, size_t payload_bytes);

// Who is at the other end, of what.
struct Hello {
  uint32_t version = kLinkVersion;
  uint32_t from = 0, to = 0;  // ranks in the world
  uint64_t window_bytes = kWindowBytes;
  std::string session;  // the secret of this run's ranks
  std::string line;     // which channel
  std::string host;     // of the sender, for messages

  bool operator==(const Hello&) const = default;
};
std::vector<std::byte> encode(const Hello& hello);
Hello parse_hello(ConstBytes payload);

// Foreign text as it may stand in a line of a log: at most kMostTextBytes, control characters replaced.
std::string printable(ConstBytes text);

}  // namespace thinwire::comm
