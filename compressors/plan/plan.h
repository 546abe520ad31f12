// A plan: by which candidate each layer travels from one step boundary on, and what is expected of that.
//
// All ranks make the same plan from the same summed table; they compare hash() before they apply it, and frames of different versions
// do not meet, because a plan is applied between two exchanges only.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::compressors {

struct PlannedLayer {
  std::string name;
  int64_t rows = 1, cols = 0;
  std::string choice = "none";  // text of a candidate: make_by_text()
  double squared_error = 0;     // expected, summed over ranks, as is |a|^2
  double squared_norm = 0;
  double payload_bytes = 0;
  double wire_bytes = 0;  // that each rank sends
  std::string why_dense;  // not empty: why nothing is compressed
  bool operator==(const PlannedLayer&) const = default;
};

struct Plan {
  uint64_t version = 0;  // 1 for the first
  std::vector<PlannedLayer> layers;
  // Of the layers that were planned. Errors in the metric of the options; costs in bytes per rank or seconds, as the objective.
  double error = 0, budget = 0;
  double cost = 0, reference_cost = 0, bound = 0;  // bound: no plan within the budget costs less
  bool operator==(const Plan&) const = default;
};

// Everything, one line for each layer; equal plans have equal texts, on any machine. parse_plan() gives the plan back, to the bit.
// Names hold no tab and no line break.
std::string to_text(const Plan& plan);
Plan parse_plan(std::string_view text);  // CorruptData where it is not such a text

uint64_t hash(const Plan& plan);  // of its text

// The table that `thinwire plan` prints: layer, shape, choice, relative error |a - decoded| / |a|, payload bytes, how many times fewer than
// fp32, and why not compressed; the sums below.
std::string format_table(const Plan& plan);

}  // namespace thinwire::compressors
