// The courier of numbers in host memory.
#pragma once
#include "exchange/rounds/courier.h"

namespace thinwire::exchange {

class HostCourier final : public Courier {
 public:
  using Courier::Courier;

  MutableBytes room(Frame& frame, size_t num_bytes) override;
  void pack(uint16_t leg, std::span<const Piece> pieces, OfferOf offer_of, Frame& frame) override;
  ConstBytes seal(Frame& frame) override { return frame.sealed; }
  void unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out, size_t base,
              Onto onto) override;
  void settle() override {}
  bool require_finite(std::span<const Piece> pieces, OfferOf offer_of) override;
  std::span<float> numbers(std::vector<float>& own, size_t elems) override;
  bool measure(const compressors::In& in, size_t elems, Squares& squares) override;
  void measure(std::span<const float> x, double& square_sum) override;

  // For who works on the numbers without a payload: NonFiniteError as pack() would throw it, this round's draws with so much scratch.
  void require_finite(const Piece& piece, const compressors::In& in) const;
  compressors::Context& context(size_t scratch_bytes);

 private:
  void start() override { context_.shared = shared(); }
  size_t encode(const Piece& piece, uint16_t leg, compressors::In in, std::byte* out);
  void decode(int from_rank, const Piece& piece, ConstBytes payload, float weight, float* out);
  [[noreturn]] void find_non_finite(const Piece& piece, const compressors::In& in) const;

  compressors::Context context_;
  std::vector<std::byte> scratch_;
};

}  // namespace thinwire::exchange
