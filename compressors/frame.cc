#include "compressors/frame.h"

#include "base/hash.h"

namespace thinwire::compressors {
namespace {

constexpr uint32_t kMagic = 0x52465754;  // 'T' 'W' 'F' 'R' in the order of the bytes
constexpr uint16_t kVersion = 1;
constexpr size_t kChecksumOffset = kFrameHeaderBytes - sizeof(uint64_t);

uint64_t checksum(ConstBytes frame) {
  StreamingHash hash;
  hash.update(frame.first(kChecksumOffset));
  hash.update(frame.subspan(kFrameHeaderBytes));
  return hash.digest();
}

// Refuses fields by name; knows who sent them.
class Refusal {
 public:
  explicit Refusal(std::string_view source) : source_(source) {}

  [[noreturn]] void broken(const std::string& what) const { throw CorruptData(std::string(source_) + ": " + what); }

  void unless_same(const char* field, uint64_t found, uint64_t expected) const {
    if (found != expected) out_of_step(field, std::to_string(found), std::to_string(expected));
  }
  void unless_same_hash(const char* field, uint64_t found, uint64_t expected) const {
    if (found != expected) out_of_step(field, to_hex(found), to_hex(expected));
  }

 private:
  [[noreturn]] void out_of_step(const char* field, const std::string& found, const std::string& expected) const {
    broken(std::string("frame is of ") + field + " " + found + ", expected " + expected + ": the sender is out of step with this rank");
  }
  std::string_view source_;
};

}  // namespace

size_t seal_frame(MutableBytes frame, const FrameInfo& info, size_t body_bytes) {
  check(frame.size() >= kFrameHeaderBytes && body_bytes <= frame.size() - kFrameHeaderBytes, "the frame's buffer holds header and body");
  const MutableBytes whole = frame.first(kFrameHeaderBytes + body_bytes);
  ByteWriter header(whole.first(kFrameHeaderBytes));
  header.write(kMagic);
  header.write(kVersion);
  header.write(info.codec_id);
  header.write(info.leg);
  header.write(uint16_t{0});
  header.write(info.bucket);
  header.write(info.step);
  header.write(info.slot_table_hash);
  header.write(info.plan_version);
  header.write(uint32_t{0});
  header.write(static_cast<uint64_t>(body_bytes));
  header.write(checksum(whole));
  return whole.size();
}

ConstBytes open_frame(ConstBytes frame, const FrameInfo& expected, std::string_view source) {
  const Refusal refuse(source);
  ByteReader header(frame, source);
  if (header.read<uint32_t>("magic") != kMagic) refuse.broken("frame does not start with the magic 'TWFR'");
  const auto version = header.read<uint16_t>("version");
  if (version != kVersion) {
    refuse.broken("frame has format version " + std::to_string(version) + ", this build reads " + std::to_string(kVersion) +
                  ": run the same build on every rank");
  }
  FrameInfo found;
  found.codec_id = header.read<uint16_t>("codec_id");
  found.leg = header.read<uint16_t>("leg");
  const auto reserved = header.read<uint16_t>("reserved");
  found.bucket = header.read<uint32_t>("bucket");
  found.step = header.read<uint64_t>("step");
  found.slot_table_hash = header.read<uint64_t>("slot_table_hash");
  found.plan_version = header.read<uint32_t>("plan_version");
  const auto reserved_too = header.read<uint32_t>("reserved");
  const auto body_bytes = header.read<uint64_t>("body_bytes");
  const auto stated_checksum = header.read<uint64_t>("checksum");
  if (body_bytes != header.remaining()) {
    refuse.broken("frame states body_bytes " + std::to_string(body_bytes) + ", but " + std::to_string(header.remaining()) + " arrived");
  }
  if (const uint64_t computed = checksum(frame); computed != stated_checksum) {
    refuse.broken("frame states checksum " + to_hex(stated_checksum) + ", but its bytes have " + to_hex(computed) +
                  ": they were changed on the way, or their sender died while they were read");
  }
  if (reserved != 0 || reserved_too != 0) refuse.broken("frame's reserved fields are not 0");
  refuse.unless_same("step", found.step, expected.step);
  refuse.unless_same("leg", found.leg, expected.leg);
  refuse.unless_same("bucket", found.bucket, expected.bucket);
  refuse.unless_same("codec_id", found.codec_id, expected.codec_id);
  refuse.unless_same("plan_version", found.plan_version, expected.plan_version);
  refuse.unless_same_hash("slot_table_hash", found.slot_table_hash, expected.slot_table_hash);
  return frame.subspan(kFrameHeaderBytes);
}

}  // namespace thinwire::compressors
