// Where the numbers of each bucket are worked on, and how they come there: where they live, or on the host, to which they cross and back.
//
// A bucket stays on a device when the residence has codecs there, all codecs of the bucket have a half there, and nothing that holds for
// the whole exchange asks for the host.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compressors/device_codec.h"
#include "exchange/residence.h"
#include "exchange/rounds/courier.h"

namespace thinwire::exchange {

class DeviceLane;

class Placement {
 public:
  // `bulk_lanes`: of the driver, each a thread.
  Placement(Residence& residence, int bulk_lanes);
  ~Placement();
  Placement(const Placement&) = delete;
  Placement& operator=(const Placement&) = delete;

  // Anew, for a table that must outlive its use. `fp32`: the codec of dense rounds, likewise. `why_all`: not empty where no bucket may
  // stay.
  void lay_out(const SlotTable& table, const compressors::Codec& fp32, const std::string& why_all);
  // Of a bucket on a device; null: the host's serves.
  std::unique_ptr<Courier> make_courier(uint32_t bucket, uint64_t seed);
  Residence& home_of(uint32_t bucket) { return places_[bucket].lane != nullptr ? residence_ : host_residence(); }
  // For each reason why numbers cross to the host, how many.
  const std::map<std::string, size_t>& elems_through_host() const { return through_host_; }

  void computed(uint32_t bucket) { places_[bucket].computed->set(); }  // its values are those that the calling thread has asked for
  // On the bucket's lane: its values, at home. At the end they must be put back.
  std::span<float> bring(uint32_t bucket, std::span<float> values);
  void put_back(uint32_t bucket, std::span<float> values);
  // Likewise: host memory with the bucket's values, as bring() gave them; `copy` where they are elsewhere.
  std::span<const float> read(uint32_t bucket, std::span<const float> values, std::vector<float>& copy);
  void drain() noexcept;  // waits for what failed rounds have left under way

 private:
  struct Place {
    std::unique_ptr<Mark> computed;
    DeviceLane* lane = nullptr;  // null: the host
    std::vector<float> crossed;  // of a bucket that crosses
  };
  std::string why_host(const Bucket& bucket, const std::string& why_all);
  const compressors::DeviceCodec* device_half(const compressors::Codec& codec);  // null: it has none

  Residence& residence_;
  const SlotTable* table_ = nullptr;
  std::vector<std::unique_ptr<DeviceLane>> lanes_;  // where codecs work in the residence
  std::map<const compressors::Codec*, std::unique_ptr<compressors::DeviceCodec>> halves_;
  std::vector<Place> places_;  // by bucket
  std::map<std::string, size_t> through_host_;
};

}  // namespace thinwire::exchange
