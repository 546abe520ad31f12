#include "checkpoint/exact/chunk.h"

#include <cstring>

#include "checkpoint/exact/grouped.h"
#include "checkpoint/exact/planes.h"

namespace thinwire::checkpoint::exact {
namespace {

enum class Form : uint8_t { plain = 0, scaled = 1, grouped = 2, relative = 3 };  // persisted: never renumber

// Of floats: the sign goes to the end; then two bits of the mantissa join the exponent.
constexpr std::array<unsigned, 2> kRotationsOfFloats = {1, 3};
constexpr std::array<unsigned, 1> kAsItIs = {0};
constexpr size_t kSampledOfGenerations = 8192;
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

}  // namespace

bool needs_earlier(ConstBytes coded) { return !coded.empty() && coded.front() >= static_cast<std::byte>(Form::grouped); }

template <class Word>
struct ChunkCoder::Worker {
  PlaneCoder<Word> planes;
  PlaneCoder<uint16_t> tables;
  GroupedCoder<Word> grouped;
  std::vector<Word> x, scaled, earlier, x_to_earlier, earlier_to_itself, sample, earlier_sample;

  static std::span<Word> sized(std::vector<Word>& words, size_t elems) {
    words.resize(std::max(words.size(), elems));
    return std::span(words).first(elems);
  }
  static std::span<Word> copied(std::vector<Word>& words, ConstBytes bytes) {
    const std::span<Word> copy = sized(words, bytes.size() / sizeof(Word));
    if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
    return copy;
  }
  static std::span<const Word> sampled(std::vector<Word>& into, std::span<const Word> words) {
    into.clear();
    for_each_sampled_run(words.size(), kSampledOfGenerations, [&](size_t begin, size_t count) {
      into.insert(into.end(), words.begin() + static_cast<ptrdiff_t>(begin), words.begin() + static_cast<ptrdiff_t>(begin + count));
    });
    return into;
  }

  // What is coded: words, and how they were made of the elements.
  struct Candidate {
    Form form = Form::plain;
    std::span<const Word> words;
    double coded_bytes = 0;        // that it is expected to take
    unsigned rotation = 0;         // of plain and scaled ones
    Scale scale;                   // of scaled ones
    std::span<const Word> before;  // of grouped and relative ones
  };

  static std::span<const Word> scaled_by(const Scale& scale, const Chunk& chunk, std::span<const Word> words, std::vector<Word>& into) {
    const std::span<Word> out = sized(into, words.size());
    chunk.place.for_each_row([&](size_t row, size_t column, size_t begin, size_t count) {
      kernels::scale(words.subspan(begin, count), scale.rows[row], scale.columns.data() + column, scale_shift(chunk.dtype),
                     out.subspan(begin, count));
    });
    return out;
  }
  static void undo_scale(const Scale& scale, const Chunk& chunk, std::span<Word> words) {
    chunk.place.for_each_row([&](size_t row, size_t column, size_t begin, size_t count) {
      const std::span<Word> part = words.subspan(begin, count);
      kernels::undo_scale(std::span<const Word>(part), scale.rows[row], scale.columns.data() + column, scale_shift(chunk.dtype), part);
    });
  }

  Candidate plain_candidate(Form form, std::span<const Word> words, Numbers numbers) {
    const std::span<const unsigned> rotations = numbers == Numbers::floats ? std::span<const unsigned>(kRotationsOfFloats) : kAsItIs;
    const Rotation rotation = planes.choose(words, Around::anything, rotations, kMostSampled, words.size());
    return {form, words, rotation.coded_bytes, rotation.bits, {}, {}};
  }

  Candidate scaled_candidate(const Chunk& chunk, std::span<const Word> words) {
    Scale scale = fit_scale(words, chunk.place, scale_shift(chunk.dtype));
    Candidate candidate = plain_candidate(Form::scaled, scaled_by(scale, chunk, words, scaled), Numbers::floats);
    candidate.coded_bytes += kBytesPerScale * static_cast<double>(scale.rows.size() + scale.columns.size());
    candidate.scale = std::move(scale);
    return candidate;
  }

  Candidate grouped_candidate(Form form, std::span<const Word> words, std::span<const Word> before, Numbers numbers) {
    const std::span<const Word> some = sampled(sample, words), some_before = sampled(earlier_sample, before);
    const double times = static_cast<double>(words.size()) / static_cast<double>(some.size());
    return {form, words, grouped.plan(some, some_before, numbers, times).coded_bytes, 0, {}, before};
  }

  Candidate relative_candidate(const Chunk& chunk, std::span<const Word> words, std::span<const Word> before) {
    const Scale scale = fit_scale(before, chunk.place, scale_shift(chunk.dtype));
    return grouped_candidate(Form::relative, scaled_by(scale, chunk, words, x_to_earlier),
                             scaled_by(scale, chunk, before, earlier_to_itself), Numbers::floats);
  }

  void encode(const Chunk& chunk, ConstBytes bytes, StreamCoder& streams, std::vector<std::byte>& out) {
    const Numbers numbers = numbers_of(chunk.dtype);
    const std::span<const Word> words = copied(x, bytes);
    const bool has_rows = may_scale(chunk) && chunk.place.row_elems >= kFewestColumns;
    Candidate best = plain_candidate(Form::plain, words, numbers);
    const auto offer = [&](Candidate candidate) {
      if (candidate.coded_bytes < best.coded_bytes) best = std::move(candidate);
    };
    if (has_rows) offer(scaled_candidate(chunk, words));
    if (!chunk.earlier.empty()) {
      const std::span<const Word> before = copied(earlier, chunk.earlier);
      best.coded_bytes *= 1 - chunk.least_gain;
      offer(grouped_candidate(Form::grouped, words, before, numbers));
      if (has_rows) offer(relative_candidate(chunk, words, before));
    }
    write(best, numbers, streams, out);
  }

  void write(const Candidate& best, Numbers numbers, StreamCoder& streams, std::vector<std::byte>& out) {
    const Repeats repeats = numbers == Numbers::integers ? Repeats::likely : Repeats::unlikely;
    out.push_back(static_cast<std::byte>(best.form));
    if (!best.before.empty()) {
      return grouped.encode(grouped.plan(best.words, best.before, numbers, 1), repeats, streams, out);
    }
    if (best.form == Form::scaled) {
      for (const auto* table : {&best.scale.rows, &best.scale.columns}) {
        tables.encode(std::span<const uint16_t>(*table), Around::anything, 0, Repeats::unlikely, streams, out);
      }
    }
    out.push_back(static_cast<std::byte>(best.rotation));
    planes.encode(best.words, Around::anything, best.rotation, repeats, streams, out);
  }

  void decode(const Chunk& chunk, ByteReader& in, StreamCoder& streams, MutableBytes out) {
    const std::span<Word> words = sized(x, chunk.place.elems);
    const auto form = static_cast<Form>(in.read<uint8_t>("form"));
    if (form > Form::relative) throw CorruptData("a chunk has a form that does not exist");
    if ((form == Form::scaled || form == Form::relative) && !may_scale(chunk)) {
      throw CorruptData("a chunk is scaled by rows and columns that it does not have");
    }
    if (form == Form::grouped || form == Form::relative) {
      decode_grouped(form, chunk, in, streams, words);
    } else {
      decode_alone(form, chunk, in, streams, words);
    }
    if (!out.empty()) std::memcpy(out.data(), words.data(), out.size());
  }

  void decode_alone(Form form, const Chunk& chunk, ByteReader& in, StreamCoder& streams, std::span<Word> words) {
    Scale scale;
    if (form == Form::scaled) {
      scale = {std::vector<uint16_t>(chunk.place.rows()), std::vector<uint16_t>(static_cast<size_t>(chunk.place.row_elems))};
      for (auto* table : {&scale.rows, &scale.columns}) tables.decode(in, Around::anything, 0, streams, std::span<uint16_t>(*table));
    }
    const auto rotation = in.read<uint8_t>("rotation");
    if (rotation >= kWordBits<Word>) throw CorruptData("a chunk has a rotation that does not exist");
    planes.decode(in, Around::anything, rotation, streams, words);
    if (form == Form::scaled) undo_scale(scale, chunk, words);
  }

  void decode_grouped(Form form, const Chunk& chunk, ByteReader& in, StreamCoder& streams, std::span<Word> words) {
    if (chunk.earlier.empty()) throw CorruptData("a chunk is coded against an earlier generation, which is not there");
    const Numbers numbers = numbers_of(chunk.dtype);
    std::span<const Word> before = copied(earlier, chunk.earlier);
    if (form == Form::grouped) return grouped.decode(in, before, numbers, streams, words);
    const Scale scale = fit_scale(before, chunk.place, scale_shift(chunk.dtype));
    before = scaled_by(scale, chunk, before, earlier_to_itself);
    grouped.decode(in, before, numbers, streams, words);
    undo_scale(scale, chunk, words);
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
