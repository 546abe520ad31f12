#include "checkpoint/exact/chunk.h"

#include <cstring>
#include <optional>

#include "checkpoint/exact/groups.h"
#include "checkpoint/exact/planes.h"

namespace thinwire::checkpoint::exact {
namespace {

enum class Form : uint8_t { plain = 0, scaled = 1, grouped = 2 };  // persisted: never renumber
enum class Content : uint8_t { elements = 0, differences = 1 };    // of a group; persisted

// Of floats: the sign goes to the end; then two bits of the mantissa join the exponent.
constexpr std::array<unsigned, 2> kRotationsOfFloats = {1, 3};
constexpr std::array<unsigned, 1> kAsItIs = {0};
constexpr std::array<std::array<unsigned, 1>, 2> kRotationsInGroup = {{{0}, {3}}};
constexpr unsigned kRotationsOfDifferences = 8, kStepOfRotations = 2;
constexpr size_t kSampledOfGroup = 2048;
constexpr double kBytesPerScale = 1;  // of a row or column, once coded

Numbers numbers_of(DType dtype) { return dtype == DType::i64 || dtype == DType::u8 ? Numbers::integers : Numbers::floats; }

// Of the quarter of an octave in a word (scale.h): the bits of the mantissa less two.
unsigned scale_shift(DType dtype) {
  switch (dtype) {
    case DType::f32: return 21;
    case DType::bf16: return 5;
    case DType::f16: return 8;
    case DType::f64: return 50;
    default: return 0;
  }
}

bool may_scale(const Chunk& chunk) {
  return numbers_of(chunk.dtype) == Numbers::floats && chunk.place.row_elems > 0 && chunk.place.row_elems <= chunk.place.elems;
}

uint8_t read_below(ByteReader& in, unsigned limit, const char* field) {
  const auto value = in.read<uint8_t>(field);
  if (value >= limit) throw CorruptData(std::string("'") + field + "' of a chunk is " + std::to_string(value));
  return value;
}

template <class Enum>
void append(std::vector<std::byte>& out, Enum value) {
  out.push_back(static_cast<std::byte>(value));
}

struct Group {
  Content content = Content::elements;
  unsigned rotation = 0;
};

}  // namespace

bool needs_earlier(ConstBytes coded) { return !coded.empty() && coded.front() == static_cast<std::byte>(Form::grouped); }

template <class Word>
struct ChunkCoder::Worker {
  PlaneCoder<Word> planes;
  PlaneCoder<uint16_t> tables;
  std::vector<Word> x, scaled, earlier, sorted, sorted_earlier, signs;
  std::vector<uint32_t> places;

  static std::span<Word> sized(std::vector<Word>& words, size_t elems) {
    words.resize(std::max(words.size(), elems));
    return std::span(words).first(elems);
  }
  static std::span<Word> copied(std::vector<Word>& words, ConstBytes bytes) {
    const std::span<Word> copy = sized(words, bytes.size() / sizeof(Word));
    if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
    return copy;
  }

  Rotation choose_of_elements(std::span<const Word> words, Numbers numbers, size_t most_sampled) {
    if (numbers == Numbers::integers) return planes.choose(words, kAsItIs, most_sampled);
    return planes.choose(words, kRotationsOfFloats, most_sampled);
  }

  Rotation choose_in_group(std::span<const Word> words, Numbers numbers) {
    return planes.choose(words, std::span(kRotationsInGroup[numbers == Numbers::floats ? 1 : 0]), kSampledOfGroup);
  }

  // From where the largest difference begins.
  Rotation choose_of_differences(std::span<const Word> words) {
    Word all = 0;
    for (const Word word : words) all |= word;
    const auto first = static_cast<unsigned>(std::countl_zero(all));
    std::vector<unsigned> rotations;
    for (unsigned bits = first; bits < std::min(first + kRotationsOfDifferences, kWordBits<Word>); bits += kStepOfRotations) {
      rotations.push_back(bits);
    }
    return planes.choose(words, rotations.empty() ? std::vector<unsigned>{0} : rotations, kSampledOfGroup);
  }

  void encode(const Chunk& chunk, ConstBytes bytes, StreamCoder& streams, std::vector<std::byte>& out) {
    const Numbers numbers = numbers_of(chunk.dtype);
    const std::span<const Word> words = copied(x, bytes);
    const Rotation plain = choose_of_elements(words, numbers, kMostSampled);
    double best = plain.coded_bytes;
    std::optional<Scale> scale;
    Rotation of_scaled;
    if (may_scale(chunk) && chunk.place.row_elems >= kFewestColumns) {
      scale = fit_scale(words, chunk.place, scale_shift(chunk.dtype));
      chunk.place.for_each_row([&](size_t row, size_t column, size_t begin, size_t count) {
        kernels::scale(words.subspan(begin, count), scale->rows[row], scale->columns.data() + column, scale_shift(chunk.dtype),
                       sized(scaled, words.size()).subspan(begin, count));
      });
      of_scaled = choose_of_elements(std::span<const Word>(scaled).first(words.size()), numbers, kMostSampled);
      of_scaled.coded_bytes += kBytesPerScale * static_cast<double>(scale->rows.size() + scale->columns.size());
      if (of_scaled.coded_bytes >= best) scale.reset();
      best = std::min(best, of_scaled.coded_bytes);
    }
    if (!chunk.earlier.empty() && encode_grouped(chunk, words, best, streams, out)) return;
    const Repeats repeats = numbers == Numbers::integers ? Repeats::likely : Repeats::unlikely;
    append(out, scale ? Form::scaled : Form::plain);
    if (scale) encode_scale(*scale, streams, out);
    append(out, static_cast<uint8_t>(scale ? of_scaled.bits : plain.bits));
    planes.encode(scale ? std::span<const Word>(scaled).first(words.size()) : words, scale ? of_scaled.bits : plain.bits, repeats, streams,
                  out);
  }

  void encode_scale(const Scale& scale, StreamCoder& streams, std::vector<std::byte>& out) {
    for (const auto* table : {&scale.rows, &scale.columns})
      tables.encode(std::span<const uint16_t>(*table), 0, Repeats::unlikely, streams, out);
  }

  // Of floats, the sign becomes whether it is another than it was; and back.
  static void compare_signs(std::span<const Word> words, std::span<const Word> before, Numbers numbers, std::span<Word> out) {
    const Word mask = numbers == Numbers::floats ? kSign<Word> : Word{0};
    for (size_t i = 0; i < words.size(); ++i) out[i] = static_cast<Word>(words[i] ^ (before[i] & mask));
  }

  // Writes nothing and returns false where it would take `best` bytes or more.
  bool encode_grouped(const Chunk& chunk, std::span<const Word> words, double best, StreamCoder& streams, std::vector<std::byte>& out) {
    const Numbers numbers = numbers_of(chunk.dtype);
    const std::span<const Word> before = copied(earlier, chunk.earlier);
    Groups groups(before, numbers);
    const std::vector<uint8_t> last = groups.choose_bounds();
    groups.divide(last);
    const std::span<Word> now = sized(sorted, words.size()), differences = sized(sorted_earlier, words.size());
    places.resize(std::max(places.size(), words.size()));
    groups.places(before, numbers, places);
    for (size_t i = 0; i < words.size(); ++i) now[places[i]] = words[i];
    for (size_t i = 0; i < words.size(); ++i) differences[places[i]] = before[i];
    const std::span<Word> as_elements = sized(signs, words.size());
    compare_signs(now, differences, numbers, as_elements);
    kernels::differences(std::span<const Word>(now), std::span<const Word>(differences), numbers, differences);
    std::vector<Group> chosen;
    double coded_bytes = 0;
    for (size_t g = 0; g < last.size(); ++g) {
      const Rotation of_elements = choose_in_group(as_elements.subspan(groups.begin(g), groups.elems(g)), numbers);
      const Rotation of_differences = choose_of_differences(differences.subspan(groups.begin(g), groups.elems(g)));
      const bool differs = of_differences.coded_bytes < of_elements.coded_bytes;
      chosen.push_back({differs ? Content::differences : Content::elements, differs ? of_differences.bits : of_elements.bits});
      coded_bytes += std::min(of_differences.coded_bytes, of_elements.coded_bytes);
    }
    if (coded_bytes >= best) return false;
    append(out, Form::grouped);
    append(out, static_cast<uint8_t>(last.size() - 1));
    for (size_t g = 0; g < last.size(); ++g) {
      append(out, last[g]);
      append(out, chosen[g].content);
      append(out, static_cast<uint8_t>(chosen[g].rotation));
    }
    for (size_t g = 0; g < last.size(); ++g) {
      const std::span<const Word> source = chosen[g].content == Content::differences ? differences : as_elements;
      const Repeats repeats = numbers == Numbers::integers ? Repeats::likely : Repeats::unlikely;
      planes.encode(source.subspan(groups.begin(g), groups.elems(g)), chosen[g].rotation, repeats, streams, out);
    }
    return true;
  }

  void decode(const Chunk& chunk, ByteReader& in, StreamCoder& streams, MutableBytes out) {
    const std::span<Word> words = sized(x, chunk.place.elems);
    switch (static_cast<Form>(in.read<uint8_t>("form"))) {
      case Form::plain: planes.decode(in, read_below(in, kWordBits<Word>, "rotation"), streams, words); break;
      case Form::scaled: decode_scaled(chunk, in, streams, words); break;
      case Form::grouped: decode_grouped(chunk, in, streams, words); break;
      default: throw CorruptData("a chunk has a form that does not exist");
    }
    if (!out.empty()) std::memcpy(out.data(), words.data(), out.size());
  }

  void decode_scaled(const Chunk& chunk, ByteReader& in, StreamCoder& streams, std::span<Word> words) {
    if (!may_scale(chunk)) throw CorruptData("a chunk is scaled by rows and columns that it does not have");
    Scale scale{std::vector<uint16_t>(chunk.place.rows()), std::vector<uint16_t>(static_cast<size_t>(chunk.place.row_elems))};
    for (auto* table : {&scale.rows, &scale.columns}) tables.decode(in, 0, streams, std::span<uint16_t>(*table));
    planes.decode(in, read_below(in, kWordBits<Word>, "rotation"), streams, words);
    chunk.place.for_each_row([&](size_t row, size_t column, size_t begin, size_t count) {
      const std::span<Word> part = words.subspan(begin, count);
      kernels::undo_scale(std::span<const Word>(part), scale.rows[row], scale.columns.data() + column, scale_shift(chunk.dtype), part);
    });
  }

  void decode_grouped(const Chunk& chunk, ByteReader& in, StreamCoder& streams, std::span<Word> words) {
    if (chunk.earlier.empty()) throw CorruptData("a chunk is coded against an earlier generation, which is not there");
    std::vector<uint8_t> last(size_t{1} + in.read<uint8_t>("groups"));
    std::vector<Group> groups(last.size());
    for (size_t g = 0; g < last.size(); ++g) {
      last[g] = in.read<uint8_t>("last context");
      if (g > 0 && last[g] <= last[g - 1]) throw CorruptData("the groups of a chunk are not in order");
      groups[g] = {static_cast<Content>(read_below(in, 2, "content")), read_below(in, kWordBits<Word>, "rotation")};
    }
    if (last.back() != 255) throw CorruptData("the groups of a chunk do not take every element");
    const Numbers numbers = numbers_of(chunk.dtype);
    const std::span<const Word> before = copied(earlier, chunk.earlier);
    Groups sorting(before, numbers);
    sorting.divide(last);
    const std::span<Word> now = sized(sorted, words.size()), sorted_before = sized(sorted_earlier, words.size());
    places.resize(std::max(places.size(), words.size()));
    sorting.places(before, numbers, places);
    for (size_t i = 0; i < words.size(); ++i) sorted_before[places[i]] = before[i];
    for (size_t g = 0; g < last.size(); ++g) {
      const std::span<Word> part = now.subspan(sorting.begin(g), sorting.elems(g));
      planes.decode(in, groups[g].rotation, streams, part);
      const std::span<const Word> part_before = std::span<const Word>(sorted_before).subspan(sorting.begin(g), part.size());
      if (groups[g].content == Content::elements) {
        compare_signs(part, part_before, numbers, part);
      } else {
        kernels::undo_differences(std::span<const Word>(part), part_before, numbers, part);
      }
    }
    for (size_t i = 0; i < words.size(); ++i) words[i] = now[places[i]];
  }
};

struct ChunkCoder::Workers {
  StreamCoder streams;
  std::vector<std::byte> coded;
  Worker<uint8_t> of8;
  Worker<uint16_t> of16;
  Worker<uint32_t> of32;
  Worker<uint64_t> of64;

  template <class Use>
  void with(DType dtype, const Use& use) {
    switch (size_of(dtype)) {
      case 1: return use(of8);
      case 2: return use(of16);
      case 4: return use(of32);
      default: return use(of64);
    }
  }
};

ChunkCoder::ChunkCoder() : workers_(std::make_unique<Workers>()) {}
ChunkCoder::~ChunkCoder() = default;

ConstBytes ChunkCoder::encode(const Chunk& chunk, ConstBytes bytes) {
  check(bytes.size() == chunk.place.elems * size_of(chunk.dtype), "a chunk's bytes are its elements");
  check(chunk.earlier.empty() || chunk.earlier.size() == bytes.size(), "both generations of a tensor have one size");
  workers_->coded.clear();
  workers_->with(chunk.dtype, [&](auto& worker) { worker.encode(chunk, bytes, workers_->streams, workers_->coded); });
  return workers_->coded;
}

void ChunkCoder::decode(const Chunk& chunk, ConstBytes coded, MutableBytes out) {
  check(out.size() == chunk.place.elems * size_of(chunk.dtype), "a chunk's bytes are its elements");
  check(chunk.earlier.empty() || chunk.earlier.size() == out.size(), "both generations of a tensor have one size");
  ByteReader in(coded, "a chunk");
  workers_->with(chunk.dtype, [&](auto& worker) { worker.decode(chunk, in, workers_->streams, out); });
  if (in.remaining() != 0) throw CorruptData("bytes follow the last stream of a chunk");
}

}  // namespace thinwire::checkpoint::exact
