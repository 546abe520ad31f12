// rANS-coded bytes, and codecs whose payloads pass through them.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "compressors/cast/none.h"
#include "compressors/entropy/entropy_coded.h"
#include "compressors/entropy/rans.h"
#include "compressors/sparseloco/sparseloco.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

Payload bytes(std::initializer_list<int> values) {
  Payload payload;
  for (const int value : values) payload.push_back(static_cast<std::byte>(value));
  return payload;
}

// Byte i is `frequent` with this probability, else any.
Payload skewed(size_t count, double probability, uint64_t seed) {
  const Draw draw(seed);
  Payload raw(count);
  for (size_t i = 0; i < count; ++i)
    raw[i] = draw.uniform(2 * i) < probability ? std::byte{7} : static_cast<std::byte>(draw.bits(2 * i + 1));
  return raw;
}

Payload coded(const Payload& raw) {
  Payload out(rans::room_bytes(raw.size()));
  out.resize(rans::encode(raw, out));
  return out;
}

std::optional<Payload> decoded(const Payload& stream, size_t raw_bytes) {
  Payload raw(raw_bytes);
  if (!rans::decode(stream, raw)) return std::nullopt;
  return raw;
}

// 64 times 65. Length 20; form 16; the alphabet: 65, and 0 that ends it; its frequency, 64. With one symbol nothing is ever written, and
// the four states stay where they start: 2^15.
TEST(Rans, WritesOneSymbolAsTheFormatSays) {
  const Payload stream = bytes({20, 0, 0, 0, 16, 65, 0, 64, 0, 128, 0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0, 128, 0, 0});
  const Payload raw(64, std::byte{65});
  EXPECT_EQ(coded(raw), stream);
  EXPECT_EQ(decoded(stream, 64), raw);
}

TEST(Rans, GivesBackEveryLength) {
  for (const size_t count : {0, 1, 2, 3, 4, 19, 20, 21, 22, 63, 100, 1000, 4097, 262144, 262145, 600000}) {
    for (const double probability : {0.0, 0.5, 0.99, 1.0}) {
      if (count > 5000 && probability != 0.5) continue;
      const Payload raw = skewed(count, probability, count);
      const Payload stream = coded(raw);
      EXPECT_LE(stream.size(), rans::worst_bytes(count));
      ASSERT_EQ(decoded(stream, count), raw) << count << " bytes, " << probability;
    }
  }
}

TEST(Rans, ComesNearTheEntropy) {
  constexpr size_t kCount = 100000;
  const Payload raw = skewed(kCount, 0.8, 1);
  std::array<double, 256> counts{};
  for (const std::byte byte : raw) counts[std::to_integer<size_t>(byte)] += 1;
  double bits = 0;
  for (const double count : counts) bits -= count == 0 ? 0 : count * std::log2(count / kCount);
  EXPECT_LT(static_cast<double>(coded(raw).size()), bits / 8 * 1.02 + 1000);  // the table takes up to two bytes a symbol
  EXPECT_GT(static_cast<double>(coded(raw).size()), bits / 8);
}

TEST(Rans, LeavesABlockAsItIsWhereCodingDoesNotPay) {
  const Payload raw = skewed(1000, 0, 1);
  Payload expected = bytes({0xe8, 0x03, 0, 0});
  expected.insert(expected.end(), raw.begin(), raw.end());
  EXPECT_EQ(coded(raw), expected);
  EXPECT_EQ(expected.size(), rans::worst_bytes(1000));
}

TEST(Rans, RefusesOtherFormsAndLengths) {
  const Payload raw = skewed(500, 0.9, 1), stream = coded(raw);
  ASSERT_LT(stream.size(), raw.size());
  for (int form = 0; form < 256; ++form) {
    Payload other = stream;
    other[4] = static_cast<std::byte>(form);
    EXPECT_EQ(decoded(other, 500).has_value(), form == 16) << "form " << form;
  }
  for (size_t length = 0; length < 24; ++length) {
    EXPECT_EQ(decoded(Payload(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(length)), 500), std::nullopt) << length;
  }
  Payload longer = stream;
  longer.push_back(std::byte{0});
  EXPECT_EQ(decoded(longer, 500), std::nullopt);
  EXPECT_EQ(decoded(bytes({0, 0, 0, 0}), 500), std::nullopt);
  EXPECT_EQ(decoded(bytes({0xff, 0xff, 0xff, 0xff, 16}), 500), std::nullopt);
}

// A buffer that ends where memory ends: htscodecs is not built with sanitizers, so a byte too far must trap by itself.
class Fenced {
 public:
  explicit Fenced(size_t most) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = (most + page - 1) / page * page + page;
    void* at = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<std::byte*>(at);
    end_ = begin_ + mapped_ - page;
    mprotect(end_, page, PROT_NONE);
  }
  ~Fenced() { munmap(begin_, mapped_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  MutableBytes last(size_t count) { return {end_ - count, count}; }

 private:
  std::byte *begin_, *end_;
  size_t mapped_;
};

TEST(Rans, StaysWithinItsBuffersWhateverTheBytes) {
  constexpr size_t kMost = 1000;
  Fenced in(kMost), out(kMost);
  size_t accepted = 0;
  for (uint64_t seed = 0; seed < 5000; ++seed) {
    const Draw draw(seed);
    const size_t raw_bytes = 30 + draw.below(0, kMost - 100);
    Payload stream = coded(skewed(raw_bytes, draw.uniform(1), seed));
    for (uint64_t i = 0, changes = 1 + draw.below(2, 8); i < changes; ++i) {
      const size_t near = draw.bits(100 + i) % 2 == 0 ? stream.size() : std::min<size_t>(stream.size(), 40);  // often in the table
      stream[4 + draw.below(200 + i, near - 4)] = static_cast<std::byte>(draw.bits(300 + i));
    }
    if (seed % 4 == 0 && stream.size() > 40) {
      stream.resize(24 + draw.below(3, stream.size() - 24));
      store_le(stream.data(), static_cast<uint32_t>(stream.size() - 4));
    }
    if (stream.size() > kMost) continue;
    const MutableBytes fenced = in.last(stream.size());
    std::ranges::copy(stream, fenced.begin());
    accepted += rans::decode(fenced, out.last(raw_bytes)) ? 1 : 0;
  }
  EXPECT_GT(accepted, 300u);  // corrupt symbols decode to wrong bytes
}

EntropyCoded around_none() { return EntropyCoded(std::make_unique<NoneCodec>()); }

TEST(EntropyCoded, IsItsInnerCodecButForTheBytes) {
  const EntropyCoded codec = around_none();
  const NoneCodec inner;
  EXPECT_EQ(codec.id(), inner.id());
  EXPECT_EQ(codec.name(), inner.name());
  const Traits traits = codec.traits(layer_of(100)), plain = inner.traits(layer_of(100));
  EXPECT_EQ(traits.combine, plain.combine);
  EXPECT_EQ(traits.split_elems, plain.split_elems);
  EXPECT_EQ(traits.delta, plain.delta);
  EXPECT_EQ(traits.worst_bytes, 401u);
  EXPECT_EQ(traits.exact_bytes, std::nullopt);
  EXPECT_EQ(codec.traits(layer_of(0)).worst_bytes, 0u);
}

// 1.0 is 00 00 80 3f: half of the bytes are 0, a quarter each 80 and 3f.
TEST(EntropyCoded, SaysHowThePayloadTravels) {
  const EntropyCoded codec = around_none();
  const Payload short_one = encode(codec, layer_of(1), {1}).payload;
  EXPECT_EQ(short_one, bytes({0, 0x00, 0x00, 0x80, 0x3f}));

  const std::vector<float> ones(1000, 1.0f);
  const Payload payload = encode(codec, layer_of(1000), ones).payload;
  EXPECT_EQ(payload[0], std::byte{1});
  EXPECT_EQ(load_le<uint32_t>(payload.data() + 1), 4000u);
  EXPECT_EQ(load_le<uint32_t>(payload.data() + 5), payload.size() - 9);
  EXPECT_LT(payload.size(), 800u);  // 1.5 bits a byte
  EXPECT_EQ(decode(codec, layer_of(1000), payload), ones);
}

TEST(EntropyCoded, NeverAddsMoreThanAByte) {
  const EntropyCoded codec = around_none();
  const std::vector<float> noise = normal_values(20000, 1);
  EXPECT_LE(encode(codec, layer_of(20000), noise).payload.size(), 80001u);
  EXPECT_EQ(encode(codec, layer_of(5), {1, 2, 3, 4, 5}).payload.size(), 21u);
}

std::string refusal(const Payload& payload, size_t elems) {
  std::vector<float> out(elems, 1.0f);
  try {
    decode_add(around_none(), layer_of(elems), payload, 1, out);
  } catch (const CorruptData& error) {
    EXPECT_EQ(out, std::vector<float>(elems, 1.0f));
    return error.what();
  }
  return "accepted";
}

TEST(EntropyCoded, AcceptsOneEncodingOnly) {
  const std::string prefix = "none payload of layer 3: ";
  const Payload good = encode(around_none(), layer_of(1000), std::vector<float>(1000, 1.0f)).payload;
  EXPECT_EQ(refusal(good, 1000), "accepted");

  Payload raw(1, std::byte{0});
  const Payload inner = encode(NoneCodec(), layer_of(1000), std::vector<float>(1000, 1.0f)).payload;
  raw.insert(raw.end(), inner.begin(), inner.end());
  EXPECT_EQ(refusal(raw, 1000), prefix + "entropy coding is not the one encoding");  // rANS would have been shorter

  Payload other = good;
  other[0] = std::byte{2};
  EXPECT_EQ(refusal(other, 1000), prefix + "entropy coding is corrupt");
  other = good;
  store_le(other.data() + 1, uint32_t{4001});  // more than the inner codec ever sends
  EXPECT_EQ(refusal(other, 1000), prefix + "entropy coding is corrupt");
  store_le(other.data() + 1, uint32_t{0xffffffff});
  EXPECT_EQ(refusal(other, 1000), prefix + "entropy coding is corrupt");
  store_le(other.data() + 1, uint32_t{3999});
  EXPECT_NE(refusal(other, 1000), "accepted");
  store_le(other.data() + 1, uint32_t{0});
  EXPECT_EQ(refusal(other, 1000), prefix + "entropy coding is corrupt");
  other = good;
  other.push_back(std::byte{0});
  store_le(other.data() + 5, load_le<uint32_t>(other.data() + 5) + 1);  // a byte that no state needs
  EXPECT_EQ(refusal(other, 1000), prefix + "entropy coding is not the one encoding");
  EXPECT_EQ(refusal(bytes({0}), 1000), prefix + "entropy coding is corrupt");
  EXPECT_EQ(refusal({}, 1000), prefix + "entropy coding is corrupt");
  EXPECT_EQ(refusal({}, 0), "accepted");
  EXPECT_NE(refusal(bytes({0}), 0), "accepted");
}

TEST(EntropyCoded, IsPutAroundACodecByItsOptions) {
  const Variant plain{"sparseloco", {}}, around{"sparseloco", {"entropy=rans"}};
  EXPECT_NE(dynamic_cast<const EntropyCoded*>(make(around).get()), nullptr);
  EXPECT_NE(dynamic_cast<const SparseLocoCodec*>(make(plain).get()), nullptr);
}

}  // namespace
}  // namespace thinwire::compressors
