// The courier of numbers in the memory of a device: encodes and decodes where they are, and brings only payloads to the host and back.
//
// A message costs one wait of the lane's thread, for however many pieces it has: payloads of fixed length are on their way to the host
// behind their encodes. Where a length varies it is one more, for the lengths. What only the device knows, a number that is not finite or a
// payload that is bad, is looked at in seal() and settle(); until then nothing has left this rank, and no residual has been replaced.
#pragma once
#include <map>
#include <memory>

#include "exchange/device/lane.h"
#include "exchange/rounds/courier.h"

namespace thinwire::exchange {

using DeviceCodecs = std::map<const compressors::Codec*, std::unique_ptr<compressors::DeviceCodec>>;

class DeviceCourier final : public Courier {
 public:
  // `codecs` has the device's half of every codec of the bucket's pieces. All must outlive the courier.
  DeviceCourier(const SlotTable& table, uint32_t bucket, uint64_t seed, DeviceLane& lane, const DeviceCodecs& codecs)
      : Courier(table, bucket, seed), lane_(lane), codecs_(codecs) {}

  MutableBytes room(Frame& frame, size_t num_bytes) override;
  void pack(uint16_t leg, std::span<const Piece> pieces, OfferOf offer_of, Frame& frame) override;
  ConstBytes seal(Frame& frame) override;
  void unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out, size_t base,
              Onto onto) override;
  void settle() override;
  bool require_finite(std::span<const Piece>, OfferOf) override { return false; }  // residuals are not replaced in place
  std::span<float> numbers(std::vector<float>& own, size_t elems) override;
  bool measure(const compressors::In& in, size_t elems, Squares& squares) override;
  void measure(std::span<const float> x, double& square_sum) override;

 private:
  struct Encoded {  // a piece on the stream
    const Piece* piece;
    Offer offer;
    const std::byte* payload;  // on the device
  };
  struct Decoded {
    const Piece* piece;
    ConstBytes payload;  // as it came, in host memory
    int from_rank;
  };
  struct Packed {  // a message on the stream
    Frame* frame;
    uint16_t leg;
    std::span<const Piece> pieces;
    size_t first;                              // of its pieces in encoded_
    const compressors::DeviceReport* reports;  // of its pieces, in host memory
    bool varies;
  };
  struct Report {  // of a piece: encoded_[index], or decoded_[index]
    bool is_encode;
    size_t index;
    const compressors::DeviceReport* on_host;
  };
  struct Measured {
    const double* on_host;
    std::array<double*, 2> to;  // as many as there are
  };

  const compressors::DeviceCodec& device_half(const Piece& piece) const;
  std::pair<compressors::DeviceReport*, compressors::DeviceReport*> reports(size_t count);  // on the device, on the host
  compressors::DeviceContext context(const Piece& piece, compressors::DeviceReport* report);
  void bring(const Packed& message);
  void wait();
  [[noreturn]] void blame(const Encoded& encoded, size_t element);
  [[noreturn]] void blame(const Decoded& decoded);
  template <class Sum>
  void measure_into(std::array<double*, 2> to, Sum&& sum);
  void start() override;

  DeviceLane& lane_;
  const DeviceCodecs& codecs_;
  // Under way: all empty after settle().
  std::vector<Encoded> encoded_;
  std::vector<Decoded> decoded_;
  std::vector<Packed> packed_;
  std::vector<Report> reports_;
  std::vector<Measured> measured_;
};

}  // namespace thinwire::exchange
