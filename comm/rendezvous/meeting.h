// Ranks find each other: each says in the store by which address it can be reached, and learns that of all others.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "comm/rendezvous/store.h"

namespace thinwire::comm {

struct Member {
  std::string ip;
  int port = 0;
  std::string host;  // its name, for messages
};

struct Roster {
  std::string session;          // a secret of these ranks, drawn by rank 0
  std::vector<Member> members;  // by rank
};

// Collective over the ranks of the run; `store` is of the same run. Rank 0 tells every now and then whom it waits for. CommError on every
// rank that is there when some did not come in time, naming them; or when two processes say that they are the same rank.
Roster meet(Store& store, int rank, int world, const Member& self, double limit_s);

// As it stands in the store.
std::string encode(const Roster& roster);
Roster parse_roster(const std::string& text, int world);  // CorruptData

}  // namespace thinwire::comm
