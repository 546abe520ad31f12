// Puts pieces into frames and takes them out again, for one bucket; says who sent what when something is wrong with it.
//
// A body is the payloads of its pieces, one after another; a payload whose length varies has it in front, as u32
// (docs/formats/payload.md). Used on the communication thread.
//
// There is one for numbers of the host, which has done everything when a call returns, and one for numbers of a device
// (exchange/device/courier.h), which puts work on a stream and waits in seal() and settle() alone. So a round packs all its messages before
// it seals the first, and settles before it is done. Pointers to numbers are to where the bucket's live; frames are in host memory.
#pragma once
#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/stopwatch.h"
#include "comm/wire.h"
#include "compressors/frame.h"
#include "exchange/norms.h"
#include "exchange/offer.h"
#include "exchange/round_info.h"
#include "exchange/rounds/piece.h"

namespace thinwire::exchange {

// A message and its memory, of one round.
struct Frame {
  std::vector<std::byte> own;  // of a courier whose frames have memory of their own
  MutableBytes room;           // for the longest
  ConstBytes sealed;
};

enum class Onto : uint8_t { sums, zeros };  // what is decoded is added to

class Courier {
 public:
  using OfferOf = FunctionRef<Offer(const Piece&)>;

  Courier(const SlotTable& table, uint32_t bucket, uint64_t seed) : table_(table), bucket_(bucket), seed_(seed) {}
  virtual ~Courier() = default;
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;

  void begin(const RoundInfo& info, const comm::Wire& wire);

  // Bytes of the longest frame that holds these pieces.
  static size_t worst_frame_bytes(std::span<const Piece> pieces);
  virtual MutableBytes room(Frame& frame, size_t num_bytes) = 0;

  // Puts pieces into a frame; seal() gives it when all that were packed are whole. NonFiniteError, from either, names the slot and this
  // rank.
  virtual void pack(uint16_t leg, std::span<const Piece> pieces, OfferOf offer_of, Frame& frame) = 0;
  virtual ConstBytes seal(Frame& frame) = 0;

  // out[piece.begin - base] += weight * decoded, for all pieces; onto zeros: whatever was there before. CommError names `from_rank` and
  // what is wrong; on a device the next seal() or settle() may throw it.
  virtual void unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out, size_t base,
                      Onto onto) = 0;
  virtual void settle() = 0;

  // NonFiniteError as pack() would throw it: called before the first of them is packed, it keeps a round that is refused from changing the
  // residuals of those in front of the bad one. Whether they have been looked at: not where residuals are not changed in place.
  virtual bool require_finite(std::span<const Piece> pieces, OfferOf offer_of) = 0;

  virtual std::span<float> numbers(std::vector<float>& own, size_t elems) = 0;  // any; until the round's end; in `own` where that is theirs
  // Known after settle(). Returns whether all that was measured is finite, as far as that is known by now.
  virtual bool measure(const compressors::In& in, size_t elems, Squares& squares) = 0;
  virtual void measure(std::span<const float> x, double& square_sum) = 0;

  TimeInto time_codec() { return TimeInto(codec_s_); }
  double codec_s() const { return codec_s_; }  // spent in codecs since begin()

 protected:
  virtual void start() {}  // of a round
  compressors::FrameInfo frame_info(std::span<const Piece> pieces, uint16_t leg) const;
  std::string_view source(int from_rank, uint16_t leg) const { return sources_[static_cast<size_t>(from_rank)][leg % 2]; }
  // Each payload of a frame that has arrived, in the order of pieces.
  void open(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces,
            FunctionRef<void(const Piece&, ConstBytes payload)> take) const;
  // Roundings of pieces and legs are independent of one another.
  Draw draw_of(const Piece& piece, uint16_t leg) const { return own_.fork(leg).fork(piece.begin); }
  [[noreturn]] void refuse_payload(int from_rank, const Piece& piece, const CorruptData& why) const;
  [[noreturn]] void report_non_finite(const Piece& piece, size_t element, float value) const;

  static constexpr size_t kLengthBytes = sizeof(uint32_t);
  uint32_t bucket() const { return bucket_; }
  std::string_view name_of(const Piece& piece) const;  // of the parameter
  const Draw& shared() const { return shared_; }

  double codec_s_ = 0;

 private:
  void name_members(const comm::Wire& wire);

  const SlotTable& table_;
  uint32_t bucket_;
  uint64_t seed_;
  RoundInfo info_;
  int rank_ = 0;                                     // in the wire
  std::vector<int> members_;                         // the wire's, by their rank in the world: what messages call them
  std::vector<std::array<std::string, 2>> sources_;  // by member: of contributions, of combined slices
  Draw own_{0}, shared_{0};
};

}  // namespace thinwire::exchange
