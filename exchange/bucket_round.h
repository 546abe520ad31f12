// One bucket's way over the wire: encode, send, receive, decode. Runs on the communication thread.
//
// sum:    two-shot. The flat range is cut into one slice per rank; everyone encodes and sends each slice to its owner, who decodes and
//         adds in rank order, encodes the mean once more and sends it to all. 2 n (N - 1) / N encoded elements per rank.
// gather: every rank's payloads go to everyone, who decode and add in rank order. (N - 1) payloads per rank.
// The owner too uses the decoded bytes, so all ranks end with the same bits.
#pragma once
#include <vector>

#include "comm/collectives.h"
#include "compressors/frame.h"
#include "exchange/exchange.h"

namespace thinwire::exchange {

class Exchange::BucketRound {
 public:
  // `dense` is the codec of warm-up rounds.
  BucketRound(const SlotTable& table, uint32_t bucket, int num_ranks, std::shared_ptr<const compressors::Codec> dense, uint64_t seed);

  // Replaces values (this bucket's flat range) by the mean over all ranks. `feedback` is null in dense rounds. Throws NonFiniteError that
  // names the slot and the rank before any byte is sent, and CommError when a peer's bytes are not what they should be.
  void run(comm::Wire& wire, const RoundInfo& info, std::span<float> values, ErrorFeedback* feedback);

  double encode_s() const { return encode_s_; }  // of the last run

 private:
  void sum(comm::Wire& wire, std::span<float> values, ErrorFeedback* feedback);
  void gather(comm::Wire& wire, std::span<float> values, ErrorFeedback* feedback);
  size_t encode(int rank, compressors::Layer layer, compressors::In in, std::byte* out);
  void decode(int from_rank, compressors::Layer layer, ConstBytes payload, float weight, float* out);
  ConstBytes open(int from_rank, ConstBytes frame, uint16_t leg);
  compressors::FrameInfo frame_info(uint16_t leg) const;
  std::string source(int from_rank, uint16_t leg) const;
  [[noreturn]] void report_non_finite(int rank, const compressors::In& in, size_t begin, size_t elems) const;

  const SlotTable& table_;
  const uint32_t bucket_index_;
  const Bucket& bucket_;
  std::shared_ptr<const compressors::Codec> dense_;
  uint64_t seed_;

  const compressors::Codec* codec_ = nullptr;  // of this run
  RoundInfo info_;
  compressors::Context context_;
  double encode_s_ = 0;
  // Buffers live as long as the bucket: once it has run, a round allocates nothing of the size of its data.
  std::vector<std::byte> scratch_;
  std::vector<std::vector<std::byte>> outgoing_, incoming_;  // a frame per rank
  std::vector<float> sum_;
};

}  // namespace thinwire::exchange
