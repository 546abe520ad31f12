// How the store's requests and replies look as bytes (docs/formats/grpc.md). Internal to rendezvous.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace thinwire::comm {

inline constexpr const char* kStoreMethod = "/thinwire.Store/Call";
inline constexpr size_t kMostRequestBytes = size_t{2} << 20;

struct StoreReply {
  enum class Kind : uint8_t { value = 1, refused = 2, over = 3 };
  Kind kind = Kind::value;
  std::string text;  // the value, or why not
};
std::vector<std::byte> encode(const StoreReply& reply);
StoreReply parse_store_reply(ConstBytes bytes);  // CorruptData

std::optional<int64_t> whole_number(const std::string& text);

}  // namespace thinwire::comm
