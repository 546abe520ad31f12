// Puts pieces into frames and takes them out again, for one bucket; says who sent what when something is wrong with it.
//
// A body is the payloads of its pieces, one after another; a payload whose length varies has it in front, as u32
// (docs/formats/payload.md). Used on the communication thread.
#pragma once
#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/stopwatch.h"
#include "comm/wire.h"
#include "compressors/frame.h"
#include "exchange/round_info.h"
#include "exchange/rounds/piece.h"

namespace thinwire::exchange {

class Courier {
 public:
  using InOf = FunctionRef<compressors::In(const Piece&)>;

  Courier(const SlotTable& table, uint32_t bucket, uint64_t seed) : table_(table), bucket_(bucket), seed_(seed) {}

  void begin(const RoundInfo& info, const comm::Wire& wire);

  // Bytes of the longest frame that holds these pieces.
  static size_t worst_frame_bytes(std::span<const Piece> pieces);

  // The sealed frame, in `buffer`. NonFiniteError names the slot and this rank.
  ConstBytes pack(uint16_t leg, std::span<const Piece> pieces, InOf in_of, std::vector<std::byte>& buffer);

  // out[piece.begin - base] += weight * decoded, for all pieces. CommError names `from_rank` and what is wrong.
  void unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out, size_t base);

  // NonFiniteError as pack() would throw it, if any of these pieces would change a residual: called before the first of them is packed, it
  // keeps a round that is refused from changing those in front of the bad one.
  void require_finite(std::span<const Piece> pieces, InOf in_of) const;

  // For who works on the numbers without a payload: NonFiniteError as pack() would throw it, this round's draws with so much scratch.
  void require_finite(const Piece& piece, const compressors::In& in) const;
  compressors::Context& context(size_t scratch_bytes);

  TimeInto time_codec() { return TimeInto(codec_s_); }
  double codec_s() const { return codec_s_; }  // spent in codecs since begin()

 private:
  void name_members(const comm::Wire& wire);
  compressors::FrameInfo frame_info(std::span<const Piece> pieces, uint16_t leg) const;
  std::string_view source(int from_rank, uint16_t leg) const;
  size_t encode(const Piece& piece, uint16_t leg, compressors::In in, std::byte* out);
  void decode(int from_rank, const Piece& piece, ConstBytes payload, float weight, float* out);
  [[noreturn]] void report_non_finite(const Piece& piece, const compressors::In& in) const;

  const SlotTable& table_;
  uint32_t bucket_;
  uint64_t seed_;
  RoundInfo info_;
  int rank_ = 0;              // in the wire
  std::vector<int> members_;  // the wire's, by their rank in the world: what messages call them
  std::vector<std::array<std::string, 2>> sources_;  // by member: of contributions, of combined slices
  Draw own_{0};
  compressors::Context context_;
  std::vector<std::byte> scratch_;
  double codec_s_ = 0;
};

// A buffer that only grows: once a bucket has run, a round allocates nothing of the size of its data.
MutableBytes grown(std::vector<std::byte>& buffer, size_t num_bytes);

}  // namespace thinwire::exchange
