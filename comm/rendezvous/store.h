// A small dictionary that rank 0 serves and all ranks of a run use to find each other, as torch's TCPStore is.
//
// Callers are told apart by the run that they belong to: a request of another run, or one that makes no sense, is refused, with a line in
// the log, and changes nothing. Thread-safe.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "comm/options.h"
#include "comm/rendezvous/environment.h"

namespace thinwire::comm {

inline constexpr size_t kMostKeyBytes = 256, kMostValueBytes = size_t{1} << 20, kMostKeys = 100'000;

class StoreServer {
 public:
  // Listens at the meeting's first free port. CommError when none is.
  StoreServer(const Meeting& meeting, const std::string& ip);
  ~StoreServer();  // who still waits for a key is told that it is over
  int port() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

class Store {
 public:
  // Waits until rank 0 serves at one of the meeting's ports. `on_waiting` hears why not yet, about once a second. CommError after
  // `limit_s`.
  Store(const Meeting& meeting, double limit_s, const std::function<void(const std::string& why, double waited_s)>& on_waiting = {});
  ~Store();

  void set(const std::string& key, const std::string& value);
  // Nothing when the key has no value after `wait_s`. CommError when the store cannot be reached.
  std::optional<std::string> get(const std::string& key, double wait_s);
  int64_t add(const std::string& key, int64_t amount);  // returns the sum; a key without value counts as 0
  std::string address() const;
  const std::string& ip() const;

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

// Requests and replies as they travel, for tests of what is refused.
struct StoreRequest {
  enum class Kind : uint8_t { get = 1, set = 2, add = 3 };
  Kind kind = Kind::get;
  std::string run, key, value;
};
std::vector<std::byte> encode(const StoreRequest& request);
StoreRequest parse_store_request(ConstBytes bytes);  // CorruptData

}  // namespace thinwire::comm
