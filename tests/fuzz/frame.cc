// open_frame() on a peer's bytes. With the first byte odd, the length and the checksum are put right first, so that mutations get past
// them.
#include "compressors/frame.h"

#include <algorithm>

#include "base/hash.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

using compressors::kFrameHeaderBytes;

const compressors::FrameInfo kExpected{.codec_id = 5, .leg = 1, .bucket = 2, .step = 40, .slot_table_hash = 0xfeedface, .plan_version = 7};
constexpr size_t kBodyBytesAt = 40, kChecksumAt = 48;  // docs/formats/payload.md

void mend(Bytes& frame) {
  if (frame.size() < kFrameHeaderBytes) return;
  store_le(frame.data() + kBodyBytesAt, static_cast<uint64_t>(frame.size() - kFrameHeaderBytes));
  StreamingHash hash;
  hash.update(ConstBytes(frame).first(kChecksumAt));
  hash.update(ConstBytes(frame).subspan(kFrameHeaderBytes));
  store_le(frame.data() + kChecksumAt, hash.digest());
}

void run(ConstBytes input) {
  if (input.empty()) return;
  Bytes frame(input.begin() + 1, input.end());
  if ((input.front() & std::byte{1}) != std::byte{0}) mend(frame);
  try {
    const ConstBytes body = open_frame(frame, kExpected, "a peer");
    require(body.data() == frame.data() + kFrameHeaderBytes && body.size() == frame.size() - kFrameHeaderBytes, "the body is all the rest");
  } catch (const CorruptData& error) {
    require(std::string(error.what()).starts_with("a peer"), "the message says who sent it");
    return;
  }
  Bytes sealed = frame;
  std::fill_n(sealed.begin(), kFrameHeaderBytes, std::byte{0});
  seal_frame(sealed, kExpected, sealed.size() - kFrameHeaderBytes);
  require(sealed == frame, "a frame has one encoding");
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds;
  for (const size_t body_bytes : {0, 1, 5, 100}) {
    for (const bool mended : {false, true}) {
      Bytes input(1 + kFrameHeaderBytes + body_bytes, std::byte{0x5a});
      input.front() = mended ? std::byte{1} : std::byte{0};
      compressors::FrameInfo info = kExpected;
      if (mended) ++info.step;
      seal_frame(MutableBytes(input).subspan(1), info, body_bytes);
      seeds.push_back(input);
    }
  }
  return seeds;
}

}  // namespace

Target frame_target() { return {"frame", run, seeds}; }

}  // namespace thinwire::fuzz
