// How byte-level BPE writes a byte as a printable character (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019):
// bytes that are printable in Latin-1 stand for themselves, the 68 others for U+0100 and up, in order.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace thinwire::data {

const std::array<std::string, 256>& byte_letters();  // in UTF-8

// The bytes that a token's letters stand for; false when one of them is no letter of this alphabet.
bool bytes_of_letters(std::string_view letters, std::string& bytes);

}  // namespace thinwire::data
