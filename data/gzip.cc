#include "data/gzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <new>

#include "base/check.h"
#include "base/error.h"

namespace thinwire::data {
namespace {

constexpr size_t kPieceBytes = 1 << 18;
constexpr int kGzipOnly = 16;  // added to the window bits: zlib then expects a gzip header and checks its trailer

class Unpacker {
 public:
  Unpacker() {
    const int result = inflateInit2(&stream_, MAX_WBITS + kGzipOnly);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    check(result == Z_OK, "zlib accepts its own window size");
  }
  ~Unpacker() { inflateEnd(&stream_); }
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;
  z_stream& operator*() { return stream_; }

 private:
  z_stream stream_{};
};

[[noreturn]] void corrupt(const InputFile& file, const z_stream& stream) {
  throw DataError(fmt::format("'{}' is corrupt or no gzip file: {} at byte {}: get it again (`gzip -t` checks it)", file.path().string(),
                              stream.msg != nullptr ? stream.msg : "invalid data", file.offset() - static_cast<int64_t>(stream.avail_in)));
}

}  // namespace

void add_unpacked(InputFile& file, Pile& pile) {
  Unpacker unpacker;
  z_stream& stream = *unpacker;
  std::vector<uint8_t> packed(kPieceBytes), unpacked(kPieceBytes);
  bool inside_member = false;
  for (;;) {
    if (stream.avail_in == 0) {
      stream.next_in = packed.data();
      stream.avail_in = static_cast<uInt>(file.read(packed));
      if (stream.avail_in == 0) break;
    }
    stream.next_out = unpacked.data();
    stream.avail_out = static_cast<uInt>(unpacked.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK && result != Z_STREAM_END) corrupt(file, stream);
    pile.add(std::span(unpacked).first(unpacked.size() - stream.avail_out), file.path());
    inside_member = result != Z_STREAM_END;
    if (!inside_member) inflateReset(&stream);  // another member may follow
  }
  if (inside_member) {
    throw DataError(fmt::format("'{}' is truncated: it ends at byte {}, inside its gzip stream: get it again (`gzip -t` checks it)",
                                file.path().string(), file.offset()));
  }
}

}  // namespace thinwire::data
