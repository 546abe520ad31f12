#include "trainer/tensorboard.h"

#include <nlohmann/json.hpp>
#include <vector>

namespace thinwire::trainer {

namespace {

struct Shown {
  const char *key, *group;
};
// Of train and eval records. The tag is <group>/<key>.
constexpr Shown kShown[] = {
    {"loss", "train"},         {"grad_norm", "train"},    {"lr", "train"},
    {"val_loss", "eval"},      {"val_bpb", "eval"},       {"val_accuracy", "eval"},
    {"tokens_per_s", "speed"}, {"step_s", "time"},        {"forward_backward_s", "time"},
    {"encode_s", "time"},      {"wire_s", "time"},        {"exposed_comm_s", "time"},
    {"optimizer_s", "time"},   {"wire_bytes_tx", "comm"}, {"wire_bytes_rx", "comm"},
    {"ratio", "comm"},         {"ratio_total", "comm"},   {"wire_bytes_tx_total", "comm"},
    {"residual_norm", "comm"}, {"mem_bytes", "memory"},
};

struct Named {
  std::string tag;
  float value;
};

void add_if_number(std::vector<Named>& to, std::string tag, const nlohmann::ordered_json& value) {
  if (value.is_number()) to.push_back({std::move(tag), value.get<float>()});
}

std::vector<Named> numbers_of(const nlohmann::ordered_json& record) {
  std::vector<Named> numbers;
  for (const auto& [key, group] : kShown) {
    if (record.contains(key)) add_if_number(numbers, std::string(group) + "/" + key, record[key]);
  }
  if (!record.contains("layers")) return numbers;
  for (const auto& layer : record["layers"]) {
    const std::string name = layer["name"];
    add_if_number(numbers, "layer_error/" + name, layer["error"]);
    add_if_number(numbers, "layer_residual/" + name, layer["residual_norm"]);
  }
  return numbers;
}

}  // namespace

TensorBoard::TensorBoard(const std::filesystem::path& directory, double wall_time_s, int64_t first_step, const std::string& resolved_yaml)
    : file_(directory, wall_time_s, first_step) {
  file_.text(wall_time_s, "config.yaml", "```yaml\n" + resolved_yaml + "\n```");
}

void TensorBoard::add(const nlohmann::ordered_json& record) {
  const auto numbers = numbers_of(record);
  if (numbers.empty()) return;
  std::vector<Scalar> scalars;
  scalars.reserve(numbers.size());
  for (const auto& [tag, value] : numbers) scalars.push_back({tag, value});
  file_.scalars(record["ts"], record["step"], scalars);
}

}  // namespace thinwire::trainer
