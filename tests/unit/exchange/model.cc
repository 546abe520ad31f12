#include "tests/unit/exchange/model.h"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace thinwire::exchange::testing {

namespace {

// The nearest multiple of 2^exponent, ties to the even multiple: exact in doubles for every fp32 and the exponents used here.
double to_multiple(double value, int exponent) {
  const double unit = std::ldexp(1.0, exponent);
  return std::nearbyint(value / unit) * unit;
}

// 8 significant bits down to 2^-126, and multiples of 2^-133 below.
float nearest_bf16(float value) {
  if (value == 0) return value;
  return static_cast<float>(to_multiple(value, std::max(std::ilogb(value) - 7, -133)));
}

// A half is 11 significant bits down to 2^-14, and a multiple of 2^-24 below.
float nearest_scaled_half(float value, int exponent) {
  const double scaled = std::ldexp(static_cast<double>(value), -exponent);
  const double half = scaled == 0 ? scaled : to_multiple(scaled, std::max(std::ilogb(scaled) - 10, -24));
  const double most = 32768 - 16;
  return static_cast<float>(std::ldexp(std::clamp(half, -most, most), exponent));
}

size_t kept_of(double density, size_t elems) {
  return std::max<size_t>(1, static_cast<size_t>(std::floor(density * static_cast<double>(elems) + 0.5)));
}

Values topk_of_chunk(const Values& a, size_t kept) {
  std::vector<size_t> order(a.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return std::fabs(a[i]) > std::fabs(a[j]); });
  const float largest = std::fabs(a[order[0]]);
  const int exponent = largest == 0 ? 0 : std::max(-128, static_cast<int>(std::ilogb(largest)) - 14);
  Values decoded(a.size(), 0.0f);
  for (size_t k = 0; k < kept; ++k) decoded[order[k]] = nearest_scaled_half(a[order[k]], exponent);
  return decoded;
}

// Each number of the slot on its own.
std::function<Values(const Values&)> each(float (*number)(float)) {
  return [number](const Values& a) {
    Values decoded(a.size());
    std::transform(a.begin(), a.end(), decoded.begin(), number);
    return decoded;
  };
}

std::function<size_t(size_t)> bytes_per_element(size_t width) {
  return [width](size_t elems) { return width * elems; };
}

}  // namespace

CodecModel none_model() {
  return {true, [](const Values& a) { return a; }, bytes_per_element(4)};
}
CodecModel bf16_model() { return {true, each(nearest_bf16), bytes_per_element(2)}; }
CodecModel skeleton_model() {
  return {false, [](const Values& a) { return a; }, bytes_per_element(4)};
}

CodecModel topk_model(double density, size_t chunk_elems) {
  const auto for_each_chunk = [chunk_elems](size_t elems, const auto& visit) {
    for (size_t begin = 0; begin < elems; begin += chunk_elems) visit(begin, std::min(chunk_elems, elems - begin));
  };
  CodecModel model;
  model.decoded = [=](const Values& a) {
    Values decoded;
    for_each_chunk(a.size(), [&](size_t begin, size_t elems) {
      const auto from = a.begin() + static_cast<std::ptrdiff_t>(begin);
      const Values chunk = topk_of_chunk(Values(from, from + static_cast<std::ptrdiff_t>(elems)), kept_of(density, elems));
      decoded.insert(decoded.end(), chunk.begin(), chunk.end());
    });
    return decoded;
  };
  model.payload_bytes = [=](size_t elems) {
    size_t bytes = 0;
    for_each_chunk(elems, [&](size_t, size_t chunk) {
      const size_t k = kept_of(density, chunk);
      bytes += 1 + 2 * k + (3 * k + 1) / 2;
    });
    return bytes;
  };
  return model;
}

SerialExchange::SerialExchange(std::vector<Slot> slots, int num_ranks, float decay) : slots_(std::move(slots)), decay_(decay) {
  SlotValues zeros;
  for (const Slot& slot : slots_) zeros.emplace_back(slot.elems, 0.0f);
  residuals_.assign(static_cast<size_t>(num_ranks), zeros);
  owed_ = zeros;
}

SlotValues SerialExchange::round(const std::vector<SlotValues>& inputs, float scale) {
  SlotValues means;
  for (size_t s = 0; s < slots_.size(); ++s) {
    std::vector<Values> decoded;
    for (size_t rank = 0; rank < residuals_.size(); ++rank) {
      Values& residual = residuals_[rank][s];
      Values a(slots_[s].elems);
      for (size_t i = 0; i < a.size(); ++i) {
        const float kept = decay_ * residual[i], fresh = scale * inputs[rank][s][i];
        a[i] = kept + fresh;
      }
      decoded.push_back(slots_[s].codec.decoded(a));
      for (size_t i = 0; i < a.size(); ++i) residual[i] = a[i] - decoded.back()[i];
    }
    means.push_back(mean(slots_[s].codec, decoded, &owed_[s]));
  }
  return means;
}

SlotValues SerialExchange::dense_round(const std::vector<SlotValues>& inputs, float scale) const {
  SlotValues means;
  for (size_t s = 0; s < slots_.size(); ++s) {
    std::vector<Values> scaled;
    for (size_t rank = 0; rank < residuals_.size(); ++rank) {
      scaled.push_back(inputs[rank][s]);
      for (float& x : scaled.back()) x *= scale;
    }
    means.push_back(mean(none_model(), scaled, nullptr));
  }
  return means;
}

Values SerialExchange::mean(const CodecModel& codec, const std::vector<Values>& decoded, Values* owed) const {
  const float weight = 1.0f / static_cast<float>(decoded.size());
  const bool sums = codec.sums && decoded.size() > 2;
  Values total(decoded[0].size(), 0.0f);
  for (const Values& of_rank : decoded) {  // in rank order: every sum of floats has one value
    for (size_t i = 0; i < total.size(); ++i) total[i] += sums ? of_rank[i] : weight * of_rank[i];
  }
  if (!sums) return total;
  for (size_t i = 0; i < total.size(); ++i) {
    const float kept = owed == nullptr ? 0.0f : decay_ * (*owed)[i], fresh = weight * total[i];
    total[i] = kept + fresh;
  }
  Values mean = codec.decoded(total);
  for (size_t i = 0; owed != nullptr && i < total.size(); ++i) (*owed)[i] = total[i] - mean[i];
  for (float& x : mean) x += 0.0f;  // it is added to zeros: no -0
  return mean;
}

}  // namespace thinwire::exchange::testing
