// An estimate for people, and for programs.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "estimate/disk.h"
#include "estimate/memory.h"
#include "estimate/time.h"
#include "estimate/wire.h"

namespace thinwire::estimate {

struct Estimate {
  Memory memory;
  Disk disk;
  Wire wire;
  std::vector<Link> links;
  Speed speed;
  std::string speed_source;  // "measured here on ...", "given"
};

// Step times are of estimate.links, in their order.
std::string to_text(const Subject& subject, const Estimate& estimate);
// In base units; times under "links", or under "one_host" where none is crossed.
nlohmann::ordered_json to_json(const Subject& subject, const Estimate& estimate);

}  // namespace thinwire::estimate
