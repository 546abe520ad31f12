#include "checkpoint/extreme/index_model.h"

#include <algorithm>
#include <array>

#include "checkpoint/extreme/bits.h"

namespace thinwire::checkpoint::extreme {
namespace {

constexpr size_t kNodes = 16;                     // bits of an index: 0 is "it is zero", 1 to 15 the inner nodes of a tree over four bits
constexpr size_t kContexts = 10, kInputs = 12;    // of a guess: contexts, a constant, and nothing
constexpr size_t kContextSize = size_t{1} << 12;  // values of one context
constexpr int32_t kMostStretched = 2047;          // 8 nats
constexpr uint32_t kProbabilityBits = 22, kCountBits = 10, kMostSeen = 1000;

// 2^16 / (1 + e^-x) for x = -8, -7.5, ..., 8, rounded to nearest. Between them the line.
constexpr std::array<uint16_t, 33> kLogistic = {22,    36,    60,    98,    162,   267,   439,   720,   1179,  1921,  3108,
                                                4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
                                                62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514};

// Of x in 256ths of a nat.
constexpr uint32_t squash(int32_t x) {
  const auto at = static_cast<uint32_t>(std::clamp(x, -kMostStretched, kMostStretched) + 2048);
  const uint32_t left = kLogistic[at >> 7], right = kLogistic[(at >> 7) + 1], part = at & 127;
  return (left * (128 - part) + right * part) >> 7;
}

// The inverse: the least x whose squash is not below p, a probability in 4096ths.
constexpr std::array<int16_t, 4096> make_stretch() {
  std::array<int16_t, 4096> table{};
  int32_t x = -kMostStretched;
  for (uint32_t p = 0; p < 4096; ++p) {
    while (x < kMostStretched && squash(x) < p * 16 + 8) ++x;
    table[p] = static_cast<int16_t>(x);
  }
  return table;
}
const std::array<int16_t, 4096> kStretch = make_stretch();

// 2^16 / (n + 1.5): how far a probability moves that was seen n times.
constexpr std::array<uint32_t, kMostSeen + 1> make_rates() {
  std::array<uint32_t, kMostSeen + 1> rates{};
  for (uint32_t n = 0; n <= kMostSeen; ++n) rates[n] = 131072 / (2 * n + 3);
  return rates;
}
constexpr auto kRates = make_rates();

// The square root of a density in 256ths, rounded down: 0 to 15.
constexpr std::array<uint8_t, 256> make_levels() {
  std::array<uint8_t, 256> levels{};
  for (uint32_t d = 0; d < 256; ++d) {
    while ((levels[d] + 1u) * (levels[d] + 1u) <= d) ++levels[d];
  }
  return levels;
}
constexpr auto kLevels = make_levels();

// How often a bit was 1 in some context.
class Seen {
 public:
  int32_t stretched() const { return kStretch[state_ >> (kProbabilityBits + kCountBits - 12)]; }
  void learn(int bit) {
    const uint32_t n = state_ & ((1u << kCountBits) - 1);
    const auto p = static_cast<int64_t>(state_ >> kCountBits), to = int64_t{bit != 0 ? (1 << kProbabilityBits) - 1 : 0};
    const auto moved = static_cast<uint32_t>(p + ((to - p) * kRates[n] >> 16));
    state_ = moved << kCountBits | std::min(n + 1, kMostSeen);
  }

 private:
  uint32_t state_ = 1u << (kProbabilityBits + kCountBits - 1);
};

// Weights in 65536ths.
struct Mixer {
  std::array<int32_t, kInputs> weights;
  static constexpr int32_t kMostWeight = (1 << 19) - 1;

  int32_t mix(const std::array<int32_t, kInputs>& inputs) const {
    int32_t sum = 0;
    for (size_t i = 0; i < kInputs; ++i) sum += weights[i] * inputs[i] >> 6;  // below 2^30; 12 of them, shifted, below 2^28
    return std::clamp(sum >> 10, -kMostStretched, kMostStretched);
  }
  void learn(const std::array<int32_t, kInputs>& inputs, int32_t error) {
    for (size_t i = 0; i < kInputs; ++i)
      weights[i] = std::clamp(weights[i] + ((inputs[i] * error + 0x2000) >> 14), -kMostWeight, kMostWeight);
  }
};

// What the neighbours of the place in question are.
class Neighbours {
 public:
  Neighbours(std::span<const uint8_t> map, const Surroundings& around)
      : map_(map),
        around_(around),
        row_elems_(around.row_elems),
        column_(around.first_column),
        last_in_column_(std::max<size_t>(row_elems_, 1)),
        density_of_column_(last_in_column_.size(), 1024) {}

  // 12 bits each.
  void contexts(size_t i, std::array<uint32_t, kContexts>& out) const {
    const uint32_t left = before(i, 1), left2 = before(i, 2), up = above(i, 0), right = above(i, -1);
    const uint32_t guide = at(around_.guide, i), second = at(around_.second, i), earlier = at(around_.earlier, i);
    const uint32_t in_row = last_in_row_, in_column = last_in_column_[column_];
    const uint32_t row = kLevels[density_of_row_ >> 4], column = kLevels[density_of_column_[column_] >> 4];
    const uint32_t near = (left != 0) + (left2 != 0) + (before(i, 3) != 0) + (up != 0) + (above(i, 1) != 0) + (right != 0);
    const bool guided = !around_.guide.empty();
    const std::span<const uint8_t> other = guided ? around_.guide : around_.earlier;
    const uint32_t here = guided ? guide : earlier, next = at(other, i + 1), previous = i == 0 ? 0 : at(other, i - 1);
    out = {left << 8 | up << 4 | guide,
           left << 4 | left2,
           guided ? guide << 4 | second : earlier << 8 | up << 4 | left,
           guide << 8 | in_row << 4 | in_column,
           guide << 4 | near,
           guide << 8 | row << 4 | column,
           earlier << 4 | guide,
           guided ? second << 8 | guide << 4 | in_column : earlier << 8 | in_row << 4 | in_column,
           here << 8 | previous << 4 | next,
           guided ? guide << 8 | second << 4 | row : earlier << 8 | row << 4 | column};
  }

  void add(uint8_t index) {
    const uint32_t magnitude = index == 0 ? 0 : index < around_.positive ? around_.positive - index : index - around_.positive + 1u;
    const uint32_t density = magnitude * 256;
    density_of_row_ += (static_cast<int32_t>(density) - static_cast<int32_t>(density_of_row_)) / 32;
    uint16_t& of_column = density_of_column_[column_];
    of_column = static_cast<uint16_t>(of_column + (static_cast<int32_t>(density) - of_column) / 8);
    if (index != 0) last_in_row_ = last_in_column_[column_] = index;
    if (++column_ >= row_elems_) column_ = 0;
  }

 private:
  uint32_t before(size_t i, size_t distance) const { return i < distance ? 0u : map_[i - distance]; }
  // In the row above, `aside` places to the left.
  uint32_t above(size_t i, ptrdiff_t aside) const {
    const size_t distance = row_elems_ + static_cast<size_t>(aside);
    return row_elems_ < 2 ? 0u : before(i, distance);
  }
  static uint32_t at(std::span<const uint8_t> map, size_t i) { return i < map.size() ? map[i] & 15u : 0u; }

  std::span<const uint8_t> map_;
  const Surroundings& around_;
  size_t row_elems_, column_;
  std::vector<uint8_t> last_in_column_;
  std::vector<uint16_t> density_of_column_;
  uint32_t density_of_row_ = 1024;
  uint8_t last_in_row_ = 0;
};

}  // namespace

struct IndexModel::Tables {
  std::vector<Seen> seen;
  std::array<Mixer, kNodes> by_node;
  std::array<Mixer, 16 * kNodes> by_guide;
  std::array<uint32_t, kContexts> contexts{};
  std::array<Seen*, kContexts> places{};

  void begin() {
    seen.assign(kContexts * kContextSize * kNodes, Seen());
    Mixer first{};
    std::fill_n(first.weights.begin(), kContexts, 65536 / 7);
    by_node.fill(first);
    by_guide.fill(first);
  }

  template <class Coder>
  int code(Coder& coder, int bit, size_t node, size_t guide) {
    std::array<int32_t, kInputs> inputs{};
    for (size_t k = 0; k < kContexts; ++k) {
      places[k] = &seen[(k * kContextSize + contexts[k]) * kNodes + node];
      inputs[k] = places[k]->stretched();
    }
    inputs[kContexts] = 256;
    Mixer &one = by_node[node], &other = by_guide[guide * kNodes + node];
    const int32_t of_one = one.mix(inputs), of_other = other.mix(inputs);
    bit = coder.code(bit, squash((of_one + of_other) >> 1));
    const int32_t truth = bit != 0 ? 65535 : 0;
    one.learn(inputs, (truth - static_cast<int32_t>(squash(of_one))) >> 3);
    other.learn(inputs, (truth - static_cast<int32_t>(squash(of_other))) >> 3);
    for (Seen* place : places) place->learn(bit);
    return bit;
  }

  template <class Coder>
  uint8_t code_index(Coder& coder, uint8_t index, size_t guide) {
    if (code(coder, index == 0 ? 1 : 0, 0, guide) != 0) return 0;
    size_t node = 1;
    for (int at = 3; at >= 0; --at) node = 2 * node + static_cast<size_t>(code(coder, index >> at & 1, node, guide));
    return static_cast<uint8_t>(node - kNodes);
  }

  // `map` is read when it is encoded, written when it is decoded.
  template <class Coder, class Byte>
  void code_map(Coder& coder, std::span<Byte> map, const Surroundings& around) {
    begin();
    Neighbours neighbours(map, around);
    for (size_t i = 0; i < map.size(); ++i) {
      const size_t guide = around.guide.empty() ? 0 : around.guide[i] & 15u;
      uint8_t index = 0;
      if (guide != 0 || !around.zero_with_guide) {
        neighbours.contexts(i, contexts);
        index = code_index(coder, map[i], guide);
      }
      if constexpr (!std::is_const_v<Byte>) map[i] = index;
      neighbours.add(index);
    }
  }
};

IndexModel::IndexModel() : tables_(std::make_unique<Tables>()) {}
IndexModel::~IndexModel() = default;

void IndexModel::encode(std::span<const uint8_t> map, const Surroundings& around, std::vector<std::byte>& out) {
  BitEncoder coder(out);
  tables_->code_map(coder, map, around);
  coder.finish();
}

void IndexModel::decode(ConstBytes coded, const Surroundings& around, std::span<uint8_t> map) {
  BitDecoder coder(coded);
  std::ranges::fill(map, uint8_t{0});
  tables_->code_map(coder, map, around);
  if (!coder.is_at_end()) throw CorruptData("indices are coded in more or fewer bytes than there are");
}

}  // namespace thinwire::checkpoint::extreme
