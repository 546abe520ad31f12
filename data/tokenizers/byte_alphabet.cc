#include "data/tokenizers/byte_alphabet.h"

#include <unordered_map>

namespace thinwire::data {

namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

std::string utf8(uint32_t below_0x800) {
  if (below_0x800 < 0x80) return {static_cast<char>(below_0x800)};
  return {static_cast<char>(0xc0 | below_0x800 >> 6), static_cast<char>(0x80 | (below_0x800 & 0x3f))};
}

std::array<std::string, 256> make_letters() {
  std::array<std::string, 256> letters;
  uint32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    letters[static_cast<size_t>(byte)] = utf8(stands_for_itself(byte) ? static_cast<uint32_t>(byte) : next++);
  }
  return letters;
}

std::unordered_map<std::string_view, char> make_bytes() {
  std::unordered_map<std::string_view, char> bytes;
  for (size_t byte = 0; byte < 256; ++byte) bytes[byte_letters()[byte]] = static_cast<char>(byte);
  return bytes;
}

}  // namespace

const std::array<std::string, 256>& byte_letters() {
  static const std::array<std::string, 256> letters = make_letters();
  return letters;
}

bool bytes_of_letters(std::string_view letters, std::string& bytes) {
  static const std::unordered_map<std::string_view, char> byte_of = make_bytes();
  bytes.clear();
  for (size_t at = 0; at < letters.size();) {
    const size_t length = static_cast<uint8_t>(letters[at]) < 0x80 ? 1 : 2;
    const auto found = byte_of.find(letters.substr(at, length));
    if (found == byte_of.end()) return false;
    bytes.push_back(found->second);
    at += length;
  }
  return true;
}

}  // namespace thinwire::data
