// Near-exact decoding of a tensor, of any bytes: the tensor or CorruptData. The first byte: bit 0 mends the hash of the header, so that
// mutations get past it; the next four bytes are the number of elements that a reader expects.
#include <cmath>
#include <limits>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/near/tensor.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

namespace exact = checkpoint::exact;
namespace near = checkpoint::near;

constexpr size_t kFlagsBytes = 5, kHashAt = 24;  // docs/formats/checkpoint.md
constexpr uint64_t kMostElems = uint64_t{1} << 19;

// Whole, as a reader of a file does it chunk by chunk.
std::vector<float> decode(ConstBytes coded, uint64_t elems) {
  const std::string source = "a file";
  const near::Header header = near::parse_header(coded.first(std::min(coded.size(), near::kHeaderBytes)), coded.size(), elems, source);
  require(header.levels_begin() + header.levels_bytes + header.scales_bytes == coded.size(), "the codings fill the file");
  near::parse_levels(header, coded.subspan(header.levels_begin(), exact::table_bytes(elems)), source);
  near::parse_scales(header, coded.subspan(header.scales_begin(), exact::table_bytes(near::num_blocks(elems))), source);
  std::vector<uint8_t> levels(elems);
  std::vector<float> scales(near::num_blocks(elems)), numbers(elems);
  exact::decode(
      {{coded.subspan(header.levels_begin(), header.levels_bytes), DType::u8, {}, std::as_writable_bytes(std::span(levels)), source},
       {coded.subspan(header.scales_begin(), header.scales_bytes), DType::f32, {}, std::as_writable_bytes(std::span(scales)), source}},
      1);
  near::dequantize(header.form, levels, scales, numbers, source);
  for (const float x : numbers) require(std::abs(x) <= std::numeric_limits<float>::max(), "what is decoded is finite");
  return numbers;
}

Bytes code(const near::Form& form, std::span<const float> numbers) {
  const auto blocks = near::quantize(form, numbers);
  const auto parts = exact::encode(
      {{DType::u8, 0, std::as_bytes(std::span(blocks->levels))}, {DType::f32, 0, std::as_bytes(std::span(blocks->scales))}}, 1);
  return near::joined(form, numbers.size(), parts[0], parts[1]);
}

void run(ConstBytes input) {
  if (input.size() < kFlagsBytes) return;
  const uint64_t elems = load_le<uint32_t>(input.data() + 1);
  if (elems > kMostElems) return;
  Bytes coded(input.begin() + kFlagsBytes, input.end());
  if ((static_cast<unsigned>(input.front()) & 1) != 0 && coded.size() >= near::kHeaderBytes)
    store_le(coded.data() + kHashAt, hash64(ConstBytes(coded).first(kHashAt)));
  try {
    const std::vector<float> numbers = decode(coded, elems);
    const near::Form form{near::Form::Of::values, 8};
    require(near::quantize(form, numbers).has_value(), "finite numbers have a form");
    require(decode(code(form, numbers), elems).size() == elems, "what is coded is decoded");
  } catch (const CorruptData& error) {
    require(std::string(error.what()).starts_with("a file"), "the message says where the bytes are from");
  }
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds;
  const Draw draw(4);
  for (const near::Form::Of of : {near::Form::Of::values, near::Form::Of::roots}) {
    for (const int bits : {8, 4}) {
      for (const uint32_t elems : {0u, 1u, 256u, 700u}) {
        std::vector<float> numbers(elems);
        for (size_t i = 0; i < elems; ++i) numbers[i] = std::abs(static_cast<float>(draw.normal(i)));
        Bytes input(kFlagsBytes, std::byte{1});
        store_le(input.data() + 1, elems);
        const Bytes coded = code({of, bits}, numbers);
        input.insert(input.end(), coded.begin(), coded.end());
        seeds.push_back(std::move(input));
      }
    }
  }
  return seeds;
}

}  // namespace

Target near_target() { return {"near", run, seeds}; }

}  // namespace thinwire::fuzz
