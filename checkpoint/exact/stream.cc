#include "checkpoint/exact/stream.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "checkpoint/exact/entropy.h"
#include "checkpoint/exact/pack.h"
#include "compressors/entropy/rans.h"

namespace thinwire::checkpoint::exact {
namespace {

namespace rans = compressors::rans;

enum class StreamForm : uint8_t { constant = 0, raw = 1, rans = 2, zstd = 3, packed = 4 };  // persisted: never renumber

constexpr int kZstdLevel = 3;
constexpr double kAsGood = 1.01;  // packed bits are taken where rANS, several times slower, would save less than this
constexpr double kSkewed = 0.9;   // where one byte is so frequent, it comes in runs that order 0 does not see

bool all_equal(ConstBytes bytes) { return std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0; }

ByteCounts sample(ConstBytes bytes) {
  ByteCounts counts;
  for_each_sampled_run(bytes.size(), kMostSampled, [&](size_t begin, size_t count) { counts.add(bytes.subspan(begin, count)); });
  return counts;
}

void append(std::vector<std::byte>& out, ConstBytes bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void append_coded(std::vector<std::byte>& out, StreamForm form, ConstBytes coded) {
  out.push_back(static_cast<std::byte>(form));
  std::byte length[sizeof(uint32_t)];
  store_le(length, static_cast<uint32_t>(coded.size()));
  append(out, length);
  append(out, coded);
}

bool encode_packed(ConstBytes bytes, double most_bytes, std::vector<std::byte>& out) {
  const std::optional<Packing> packing = find_packing(bytes);
  if (!packing || static_cast<double>(packed_bytes(bytes.size(), packing->width)) > most_bytes) return false;
  for (const uint8_t field : {static_cast<uint8_t>(StreamForm::packed), packing->constant, packing->low, packing->width}) {
    out.push_back(static_cast<std::byte>(field));
  }
  const size_t begin = out.size(), length = packed_bytes(bytes.size(), packing->width);
  out.resize(begin + length + sizeof(uint64_t));
  pack(bytes, *packing, out.data() + begin);
  out.resize(begin + length);
  return true;
}

ConstBytes take_coded(ByteReader& in) { return in.take(in.read<uint32_t>("stream length"), "stream"); }

}  // namespace

struct StreamCoder::Zstd {
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> compress;
  std::unique_ptr<ZSTD_DCtx, Free> decompress;
};

StreamCoder::StreamCoder() : zstd_(std::make_unique<Zstd>()) {}
StreamCoder::~StreamCoder() = default;

size_t StreamCoder::encode_zstd(ConstBytes bytes) {
  if (!zstd_->compress) zstd_->compress.reset(ZSTD_createCCtx());
  check(zstd_->compress != nullptr, "zstd has memory for its context");
  zstd_room_.resize(std::max(zstd_room_.size(), ZSTD_compressBound(bytes.size())));
  const size_t coded =
      ZSTD_compressCCtx(zstd_->compress.get(), zstd_room_.data(), zstd_room_.size(), bytes.data(), bytes.size(), kZstdLevel);
  check(ZSTD_isError(coded) == 0, "zstd compresses into a buffer of its own bound");
  return coded;
}

void StreamCoder::encode(ConstBytes bytes, Repeats repeats, std::vector<std::byte>& out) {
  if (!bytes.empty() && all_equal(bytes)) {
    out.push_back(static_cast<std::byte>(StreamForm::constant));
    return out.push_back(bytes.front());
  }
  if (bytes.empty() || !encode_shorter(bytes, repeats, out)) {
    out.push_back(static_cast<std::byte>(StreamForm::raw));
    append(out, bytes);
  }
}

// False, and nothing written, where no form is shorter than raw.
bool StreamCoder::encode_shorter(ConstBytes bytes, Repeats repeats, std::vector<std::byte>& out) {
  const ByteCounts counts = sample(bytes);
  const double expected = counts.coded_bytes(bytes.size());
  ConstBytes best = bytes;
  StreamForm form = StreamForm::raw;
  if (repeats == Repeats::likely || counts.most_frequent() > kSkewed) {
    const size_t length = encode_zstd(bytes);
    if (length < best.size()) {
      best = ConstBytes(zstd_room_).first(length);
      form = StreamForm::zstd;
    }
  }
  if (expected < static_cast<double>(best.size())) {
    if (encode_packed(bytes, std::min(kAsGood * expected, static_cast<double>(best.size())), out)) return true;
    rans_room_.resize(std::max(rans_room_.size(), rans::room_bytes(bytes.size())));
    const size_t length = rans::encode(bytes, rans_room_);
    if (length < best.size()) {
      best = ConstBytes(rans_room_).first(length);
      form = StreamForm::rans;
    }
  }
  if (form == StreamForm::raw || best.size() + sizeof(uint32_t) >= bytes.size()) return false;
  append_coded(out, form, best);
  return true;
}

void StreamCoder::decode(ByteReader& in, MutableBytes bytes) {
  const auto form = static_cast<StreamForm>(in.read<uint8_t>("stream form"));
  bool whole = true;
  switch (form) {
    case StreamForm::constant: std::ranges::fill(bytes, in.read<std::byte>("constant")); break;
    case StreamForm::raw: std::ranges::copy(in.take(bytes.size(), "raw bytes"), bytes.begin()); break;
    case StreamForm::rans: whole = rans::decode(take_coded(in), bytes); break;
    case StreamForm::packed: {
      const Packing packing{in.read<uint8_t>("constant bits"), in.read<uint8_t>("lowest bit"), in.read<uint8_t>("width")};
      if (!packing.valid()) throw CorruptData("a stream is packed in a way that does not exist");
      unpack(in.take(packed_bytes(bytes.size(), packing.width), "packed bits"), packing, bytes);
      break;
    }
    case StreamForm::zstd: {
      const ConstBytes frame = take_coded(in);
      if (!zstd_->decompress) zstd_->decompress.reset(ZSTD_createDCtx());
      check(zstd_->decompress != nullptr, "zstd has memory for its context");
      whole = ZSTD_decompressDCtx(zstd_->decompress.get(), bytes.data(), bytes.size(), frame.data(), frame.size()) == bytes.size();
      break;
    }
    default: throw CorruptData("a stream has a form that does not exist");
  }
  if (!whole) throw CorruptData("a stream does not decode to the bytes that it stands for");
}

}  // namespace thinwire::checkpoint::exact
