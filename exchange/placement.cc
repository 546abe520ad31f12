#include "exchange/placement.h"

#include "exchange/device/courier.h"

namespace thinwire::exchange {

Placement::Placement(Residence& residence, int bulk_lanes) : residence_(residence) {
  DeviceResidence* const device = residence.device();
  for (int lane = 0; device != nullptr && lane < bulk_lanes; ++lane) lanes_.push_back(std::make_unique<DeviceLane>(*device));
}

Placement::~Placement() = default;

void Placement::lay_out(const SlotTable& table, const compressors::Codec& fp32, const std::string& why_all) {
  table_ = &table;
  halves_.clear();
  through_host_.clear();
  places_.clear();
  places_.resize(table.buckets().size());
  if (!lanes_.empty()) device_half(fp32);
  for (uint32_t b = 0; b < places_.size(); ++b) {
    places_[b].computed = residence_.make_mark();
    if (residence_.is_host()) continue;
    const std::string why = why_host(table.buckets()[b], why_all);
    if (why.empty())
      places_[b].lane = lanes_[b % lanes_.size()].get();
    else
      through_host_[why] += table.buckets()[b].elems;
  }
}

std::string Placement::why_host(const Bucket& bucket, const std::string& why_all) {
  if (lanes_.empty()) return "this build has no kernels for a GPU";
  if (!why_all.empty()) return why_all;
  for (const Slot slot : bucket.slots) {
    const SlotSpec& spec = table_->slots()[slot];
    const auto* codec = dynamic_cast<const compressors::Codec*>(spec.codec.get());
    if (codec == nullptr || device_half(*codec) == nullptr)
      return "no kernels for " + (spec.text.empty() ? std::string(spec.codec->name()) : spec.text);
  }
  return "";
}

const compressors::DeviceCodec* Placement::device_half(const compressors::Codec& codec) {
  const auto [known, is_new] = halves_.try_emplace(&codec);
  if (is_new) known->second = residence_.device()->machine().codec(codec);
  return known->second.get();
}

std::unique_ptr<Courier> Placement::make_courier(uint32_t bucket, uint64_t seed) {
  if (places_[bucket].lane == nullptr) return nullptr;
  return std::make_unique<DeviceCourier>(*table_, bucket, seed, *places_[bucket].lane, halves_);
}

std::span<float> Placement::bring(uint32_t bucket, std::span<float> values) {
  Place& place = places_[bucket];
  if (place.lane != nullptr) place.lane->begin(static_cast<const DeviceMark&>(*place.computed));
  if (place.lane != nullptr || residence_.is_host()) return values;
  place.computed->wait();
  place.crossed.resize(values.size());
  residence_.fetch(std::as_writable_bytes(std::span(place.crossed)), values.data());
  return place.crossed;
}

void Placement::put_back(uint32_t bucket, std::span<float> values) {
  const Place& place = places_[bucket];
  if (place.lane == nullptr && !residence_.is_host()) residence_.store(values.data(), std::as_bytes(std::span(place.crossed)));
}

std::span<const float> Placement::read(uint32_t bucket, std::span<const float> values, std::vector<float>& copy) {
  const Place& place = places_[bucket];
  if (place.lane == nullptr) return values;
  place.computed->wait();
  copy.resize(values.size());
  residence_.fetch(std::as_writable_bytes(std::span(copy)), values.data());
  return copy;
}

void Placement::drain() noexcept {
  for (auto& lane : lanes_) lane->drain();
}

}  // namespace thinwire::exchange
