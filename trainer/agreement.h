// Small things that all ranks must know of each other: flags, sums, and whether they run the same configuration.
#pragma once
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "comm/driver.h"

namespace thinwire::trainer {

// Every rank's bytes (at most max_bytes_each), by rank. A collective: all ranks call it in the same order.
std::vector<std::vector<std::byte>> gather_bytes(comm::Driver& driver, const char* what, ConstBytes mine, size_t max_bytes_each);

template <class T>
requires std::is_trivially_copyable_v<T> std::vector<T> gather_values(comm::Driver& driver, const char* what, const T& mine) {
  std::vector<T> values;
  for (const auto& bytes : gather_bytes(driver, what, std::as_bytes(std::span(&mine, 1)), sizeof(T))) {
    if (bytes.size() != sizeof(T)) throw CommError(std::string("a rank sent ") + std::to_string(bytes.size()) + " bytes for " + what);
    values.emplace_back();
    std::memcpy(&values.back(), bytes.data(), sizeof(T));
  }
  return values;
}

// Rank 0's text on every rank.
std::string broadcast_text(comm::Driver& driver, const char* what, const std::string& text);

// Runs `work` on rank 0 alone and lets every rank fail as rank 0 did.
void on_rank_zero(comm::Driver& driver, const char* what, const std::function<void()>& work);

// CommError (exit 5) on every rank unless all have the same facts: lists which ranks have which value of the first key that differs.
void require_same(comm::Driver& driver, const std::map<std::string, std::string>& facts);

// Replicas must hold the same bits: compares one hash per tensor over all ranks and names the first tensor and the ranks that differ.
void require_same_bits(comm::Driver& driver, int64_t step, const std::vector<std::string>& names, const std::vector<uint64_t>& hashes);

}  // namespace thinwire::trainer
