#include "data/token_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "data/paths.h"

namespace thinwire::data {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLlmcHeaderBytes = 1024;
struct LlmcKind {
  int32_t magic, version;
  size_t width;
};
constexpr LlmcKind kLlmcKinds[] = {{20240520, 1, 2}, {20240801, 7, 4}};

constexpr char kMegatronMagic[] = "MMIDIDX\0";  // and the literal's own NUL: nine bytes
constexpr size_t kMegatronMagicBytes = 9;

// All of a file, for reading.
struct Mapping {
  std::shared_ptr<const void> owner;
  ConstBytes bytes;
};

Mapping map_file(const fs::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) throw DataError(fmt::format("'{}' cannot be opened: {}", path.string(), std::strerror(errno)));
  struct stat facts {};
  const bool is_file = ::fstat(file, &facts) == 0 && S_ISREG(facts.st_mode);
  const auto size = static_cast<size_t>(is_file ? facts.st_size : 0);
  void* memory = size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0) : nullptr;
  const int error = errno;
  ::close(file);
  if (!is_file) throw DataError(fmt::format("'{}' is no regular file: name files of tokens", path.string()));
  if (size == 0) throw DataError(fmt::format("'{}' is empty: leave it out, or write tokens into it", path.string()));
  if (memory == MAP_FAILED) throw DataError(fmt::format("'{}' cannot be mapped into memory: {}", path.string(), std::strerror(error)));
  std::shared_ptr<const void> owner(memory, [size](const void* at) { ::munmap(const_cast<void*>(at), size); });
  return {std::move(owner), {static_cast<const std::byte*>(memory), size}};
}

TokenLayout raw_layout(const std::string& format, uint64_t file_bytes, const std::string& source) {
  const size_t width = format == "uint16" ? 2 : 4;
  if (file_bytes % width != 0) {
    throw DataError(
        fmt::format("'{}' has {} bytes, no multiple of the {} that a token of data.format {} takes: it was cut short, or has another "
                    "format",
                    source, with_thousands(static_cast<int64_t>(file_bytes)), width, format));
  }
  return {0, file_bytes / width, width};
}

TokenLayout layout_of(const fs::path& path, ConstBytes bytes, const std::string& format) {
  const std::string source = path.string();
  if (format != "auto") {
    if (is_llmc(bytes.first(std::min<size_t>(bytes.size(), kLlmcHeaderBytes)))) {
      throw DataError(
          fmt::format("'{}' begins with a header of llm.c, but data.format {} says that there is nothing but tokens in it: set "
                      "data.format: auto",
                      source, format));
    }
    return raw_layout(format, bytes.size(), source);
  }
  const fs::path index = fs::path(path).replace_extension(".idx");
  if (fs::exists(index)) {
    const Mapping mapped = map_file(index);
    return parse_megatron_index(mapped.bytes, bytes.size(), index.string());
  }
  return parse_llmc_header(bytes.first(std::min<size_t>(bytes.size(), kLlmcHeaderBytes)), bytes.size(), source);
}

// Bytes of a token by the type's code; nullopt for one that holds no token ids.
std::optional<size_t> megatron_width(uint8_t code) {
  switch (code) {
    case 1: return 1;
    case 4: return 4;
    case 8: return 2;
    default: return std::nullopt;
  }
}

}  // namespace

bool is_llmc(ConstBytes head) {
  if (head.size() < kLlmcHeaderBytes) return false;
  const auto magic = load_le<int32_t>(head.data());
  return std::any_of(std::begin(kLlmcKinds), std::end(kLlmcKinds), [&](const LlmcKind& kind) { return kind.magic == magic; });
}

TokenLayout parse_llmc_header(ConstBytes head, uint64_t file_bytes, const std::string& source) {
  if (!is_llmc(head)) {
    throw DataError(
        fmt::format("'{}' does not begin with the header of an llm.c file, and has no .idx of Megatron beside it: if there is nothing but "
                    "tokens in it, as in nanoGPT's .bin, set data.format: uint16 (or uint32)",
                    source));
  }
  const auto magic = load_le<int32_t>(head.data()), version = load_le<int32_t>(head.data() + 4), count = load_le<int32_t>(head.data() + 8);
  const LlmcKind& kind =
      *std::find_if(std::begin(kLlmcKinds), std::end(kLlmcKinds), [&](const LlmcKind& one) { return one.magic == magic; });
  if (version != kind.version) {
    throw DataError(
        fmt::format("'{}' has version {} at byte 4, where its magic {} asks for {}: write it again with a program of that version", source,
                    version, magic, kind.version));
  }
  const uint64_t there = (file_bytes - kLlmcHeaderBytes) / kind.width;
  if (count <= 0 || file_bytes != kLlmcHeaderBytes + static_cast<uint64_t>(count) * kind.width) {
    throw DataError(
        fmt::format("'{}' says at byte 8 that it holds {} tokens of {} bytes, but {} tokens follow its header: it was cut short or is "
                    "damaged; get it again",
                    source, count, kind.width, with_thousands(static_cast<int64_t>(there))));
  }
  return {kLlmcHeaderBytes, static_cast<uint64_t>(count), kind.width};
}

TokenLayout parse_megatron_index(ConstBytes index, uint64_t bin_bytes, const std::string& source) try {
  ByteReader reader(index, source);
  const ConstBytes magic = reader.take(kMegatronMagicBytes, "magic");
  if (std::memcmp(magic.data(), kMegatronMagic, kMegatronMagicBytes) != 0) {
    throw DataError(fmt::format("'{}' does not begin with MMIDIDX: it is no index of Megatron", source));
  }
  const auto version = reader.read<uint64_t>("version");
  if (version != 1) throw DataError(fmt::format("'{}' has version {}, where 1 is read", source, version));
  const auto code = reader.read<uint8_t>("type");
  const auto width = megatron_width(code);
  if (!width) {
    throw DataError(fmt::format("'{}' says that tokens are of type {}, where 1 (uint8), 8 (uint16) and 4 (int32) are read", source, code));
  }
  const auto sequences = reader.read<uint64_t>("number of sequences");
  reader.read<uint64_t>("number of documents");
  if (sequences > reader.remaining() / (sizeof(int32_t) + sizeof(int64_t))) {
    throw DataError(
        fmt::format("'{}' says that it lists {} sequences, for which it is too short: it was cut short or is damaged", source, sequences));
  }
  const ConstBytes lengths = reader.take(sequences * sizeof(int32_t), "lengths"),
                   offsets = reader.take(sequences * sizeof(int64_t), "offsets");
  uint64_t end = 0;
  for (uint64_t i = 0; i < sequences; ++i) {
    const auto length = load_le<int32_t>(lengths.data() + i * sizeof(int32_t));
    const auto offset = load_le<int64_t>(offsets.data() + i * sizeof(int64_t));
    if (length < 0 || offset < 0 || static_cast<uint64_t>(offset) != end) {
      throw DataError(fmt::format("'{}': sequence {} has {} tokens from byte {} on, where the one before ends at {}: it is damaged", source,
                                  i, length, offset, end));
    }
    end += static_cast<uint64_t>(length) * *width;
  }
  if (end != bin_bytes) {
    throw DataError(
        fmt::format("'{}' lists sequences of {} bytes in all, but its .bin has {}: they do not belong together, or one was cut short",
                    source, end, bin_bytes));
  }
  return {0, bin_bytes / *width, *width};
} catch (const CorruptData& e) {
  throw DataError(fmt::format("{}: it was cut short; get it again", e.what()));
}

void write_token_file(const fs::path& path, const Tokens& tokens, int64_t vocab_size,
                      const std::function<void(size_t done_tokens)>& listener) {
  if (tokens.size() > INT32_MAX) {
    throw DataError(fmt::format("'{}' would hold {} tokens, and a file of llm.c holds {} at most: prepare the text in parts", path.string(),
                                with_thousands(static_cast<int64_t>(tokens.size())), with_thousands(INT32_MAX)));
  }
  const LlmcKind& kind = kLlmcKinds[vocab_size <= 1 << 16 ? 0 : 1];
  std::vector<std::byte> head(kLlmcHeaderBytes);
  store_le(head.data(), kind.magic);
  store_le(head.data() + 4, kind.version);
  store_le(head.data() + 8, static_cast<int32_t>(tokens.size()));
  OutputFile file(path);
  file.write(head);
  std::vector<int64_t> some;
  std::vector<std::byte> bytes;
  for (size_t at = 0; at < tokens.size(); at += some.size()) {
    some.resize(std::min<size_t>(tokens.size() - at, 1 << 16));
    tokens.copy(at, some.size(), some.data());
    bytes.resize(some.size() * kind.width);
    for (size_t i = 0; i < some.size(); ++i) {
      if (kind.width == 2) store_le(&bytes[2 * i], static_cast<uint16_t>(some[i]));
      if (kind.width == 4) store_le(&bytes[4 * i], static_cast<uint32_t>(some[i]));
    }
    file.write(bytes);
    if (listener) listener(at + some.size());
  }
  file.close();
}

TokenFiles read_token_files(const std::vector<std::string>& patterns, const std::string& format) {
  std::vector<Tokens::Piece> pieces;
  const std::vector<fs::path> paths = find_files(patterns);
  for (const fs::path& path : paths) {
    Mapping mapped = map_file(path);
    const TokenLayout layout = layout_of(path, mapped.bytes, format);
    pieces.push_back(
        {std::move(mapped.owner), mapped.bytes.subspan(layout.offset, layout.count * layout.width), layout.width, path.string(), 0});
  }
  return {Tokens(std::move(pieces)),
          paths.size() == 1 ? fmt::format("tokens from '{}'", paths.front().string()) : fmt::format("tokens from {} files", paths.size())};
}

}  // namespace thinwire::data
