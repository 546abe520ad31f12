#include "compressors/topk/index_coding.h"

#include <algorithm>

#include "compressors/entropy/rice.h"
#include "compressors/topk/packed12.h"

namespace thinwire::compressors {
namespace {

template <class Number>
size_t store_all(std::span<const uint32_t> numbers, std::byte* out) {
  for (size_t i = 0; i < numbers.size(); ++i) store_le(out + i * sizeof(Number), static_cast<Number>(numbers[i]));
  return numbers.size() * sizeof(Number);
}

template <class Number>
void load_all(const std::byte* coded, std::span<uint32_t> numbers) {
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = load_le<Number>(coded + i * sizeof(Number));
}

bool strictly_ascending(std::span<const uint32_t> numbers) {
  bool holds = true;
  for (size_t i = 1; i < numbers.size(); ++i) holds &= numbers[i - 1] < numbers[i];
  return holds;
}

}  // namespace

size_t worst_index_bytes(IndexCoding coding, size_t count, size_t of) {
  switch (coding) {
    case IndexCoding::raw16: return count * sizeof(uint16_t);
    case IndexCoding::raw32: return count * sizeof(uint32_t);
    case IndexCoding::packed12: return packed12_bytes(count);
    case IndexCoding::rice: return rice::worst_bytes(count, of, rice::parameter_for(count, of));
  }
  return 0;
}

size_t encode_indices(IndexCoding coding, std::span<const uint32_t> ascending, size_t of, std::byte* out) {
  switch (coding) {
    case IndexCoding::raw16: return store_all<uint16_t>(ascending, out);
    case IndexCoding::raw32: return store_all<uint32_t>(ascending, out);
    case IndexCoding::packed12: pack12(ascending, out); return packed12_bytes(ascending.size());
    case IndexCoding::rice: return rice::encode(ascending, rice::parameter_for(ascending.size(), of), out);
  }
  return 0;
}

const char* decode_indices(IndexCoding coding, ConstBytes coded, size_t of, std::span<uint32_t> ascending, size_t& used_bytes) {
  const size_t count = ascending.size();
  if (coding == IndexCoding::rice) {
    return rice::decode(coded, rice::parameter_for(count, of), of, ascending, used_bytes) ? nullptr : "indices are corrupt";
  }
  used_bytes = worst_index_bytes(coding, count, of);
  if (coded.size() < used_bytes) return "indices are cut off";
  if (coding == IndexCoding::packed12 && !unpack12(coded.data(), ascending)) return "padding is not 0";
  if (coding == IndexCoding::raw16) load_all<uint16_t>(coded.data(), ascending);
  if (coding == IndexCoding::raw32) load_all<uint32_t>(coded.data(), ascending);
  if (ascending.back() >= of) return "index is beyond the chunk";
  return strictly_ascending(ascending) ? nullptr : "indices are not ascending";
}

}  // namespace thinwire::compressors
