// A run's metrics for TensorBoard: the records of metrics.jsonl as scalars, in <run directory>/tb/ (docs/metrics.md).
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "trainer/event_file.h"

namespace thinwire::trainer {

class TensorBoard {
 public:
  // Error where the file cannot be made. `resolved_yaml` is shown under "text".
  TensorBoard(const std::filesystem::path& directory, double wall_time_s, int64_t first_step, const std::string& resolved_yaml);

  // A record of any kind; what is no number of interest is left out.
  void add(const nlohmann::ordered_json& record);

 private:
  EventFile file_;
};

}  // namespace thinwire::trainer
