// Exact decoding of a tensor, of any bytes: the tensor or CorruptData. With the first byte odd, the hashes that stand before what they
// cover are put right first, so that mutations get past them; its second bit brings an earlier generation.
#include <algorithm>
#include <bit>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/exact/tensor.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

namespace exact = checkpoint::exact;

constexpr size_t kHeaderBytes = 24, kEntryBytes = 20, kHashBytes = 8, kElemsAt = 8;  // docs/formats/checkpoint.md
constexpr uint64_t kMostElems = uint64_t{1} << 19, kChunkElems = uint64_t{1} << 18;

void mend(MutableBytes coded) {
  if (coded.size() < kHeaderBytes) return;
  const uint64_t elems = load_le<uint64_t>(coded.data() + kElemsAt);
  if (elems > kMostElems) return;
  const size_t chunks = static_cast<size_t>((elems + kChunkElems - 1) / kChunkElems), table_bytes = kHeaderBytes + chunks * kEntryBytes;
  if (coded.size() < table_bytes + kHashBytes) return;
  size_t at = table_bytes + kHashBytes;
  for (size_t c = 0; c < chunks; ++c) {
    std::byte* entry = coded.data() + kHeaderBytes + c * kEntryBytes;
    size_t length = std::min<size_t>(load_le<uint32_t>(entry), coded.size() - at);
    if (c + 1 == chunks) length = coded.size() - at;
    store_le(entry, static_cast<uint32_t>(length));
    store_le(entry + 4, hash64(ConstBytes(coded).subspan(at, length)));
    at += length;
  }
  store_le(coded.data() + table_bytes, hash64(ConstBytes(coded).first(table_bytes)));
}

// Some fp32 words, of which a good deal have neighbouring exponents.
Bytes earlier_of(size_t num_bytes) {
  Bytes bytes(num_bytes);
  const Draw draw(1);
  for (size_t i = 0; i + 4 <= num_bytes; i += 4) store_le(bytes.data() + i, static_cast<float>(draw.normal(i)));
  return bytes;
}

void run(ConstBytes input) {
  if (input.empty()) return;
  Bytes coded(input.begin() + 1, input.end());
  const auto flags = static_cast<unsigned>(input.front());
  if ((flags & 1) != 0) mend(coded);
  try {
    const exact::Facts facts = exact::parse_table(coded, coded.size(), "a file").facts;
    if (facts.elems > kMostElems) return;  // true, and too long for a fuzzer
    Bytes out(static_cast<size_t>(facts.elems) * size_of(facts.dtype)), again(out.size());
    const Bytes earlier = (flags & 2) != 0 ? earlier_of(out.size()) : Bytes();
    exact::decode({{coded, facts.dtype, earlier, out, "a file"}}, 1);
    const Bytes second = exact::joined(exact::encode({{facts.dtype, 0, out, earlier}}, 1).front());
    exact::decode({{second, facts.dtype, earlier, again, "a file"}}, 1);
    require(again == out, "what was decoded is coded and decoded to the same");
  } catch (const CorruptData& error) {
    require(std::string(error.what()).starts_with("a file"), "the message says where the bytes are from");
  }
}

Bytes input_of(unsigned flags, const exact::Tensor& tensor) {
  Bytes input = {static_cast<std::byte>(flags)};
  const Bytes coded = exact::joined(exact::encode({tensor}, 1).front());
  input.insert(input.end(), coded.begin(), coded.end());
  return input;
}

// Of every form of chunk and of stream.
std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds = {input_of(0, {DType::f32, 0, {}, {}})};
  const Draw draw(2);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::i64, DType::u8, DType::f64}) {
    for (const size_t elems : {size_t{1}, size_t{9}, size_t{400}}) {
      Bytes bytes(elems * size_of(dtype));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(draw.below(i, i % size_of(dtype) == 0 ? 256 : 3));
      seeds.push_back(input_of(1, {dtype, 16, bytes, {}}));
      seeds.push_back(input_of(3, {dtype, 16, bytes, earlier_of(bytes.size())}));
      std::ranges::fill(bytes, std::byte{7});
      seeds.push_back(input_of(1, {dtype, 16, bytes, {}}));
    }
  }
  for (const float step : {1e-3f, 1e-6f}) {  // long enough for groups and tables
    Bytes earlier = earlier_of(4 * 9000), bytes = earlier;
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const float row = std::bit_cast<float>(static_cast<uint32_t>(120 + i / 400 % 7) << 23);
      store_le(bytes.data() + i, step == 1e-3f ? load_le<float>(earlier.data() + i) + step : row * load_le<float>(earlier.data() + i));
    }
    seeds.push_back(input_of(3, {DType::f32, 100, bytes, earlier}));
    seeds.push_back(input_of(1, {DType::f32, 100, bytes, {}}));
  }
  return seeds;
}

}  // namespace

Target exact_target() { return {"exact", run, seeds}; }

}  // namespace thinwire::fuzz
