#include "report/run_record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "base/error.h"
#include "base/listing.h"
#include "base/log.h"
#include "config/yaml_tree.h"

namespace thinwire::report {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw ConfigError(fmt::format("{} cannot be read: name a run directory, which holds config.yaml, run.json and metrics.jsonl; {}",
                                  path.string(), what_is_there(path)));
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<double> number_if_told(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

double number(const Json& record, const char* key) { return number_if_told(record, key).value_or(0); }

std::string text(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}

void flatten(const config::Yaml& node, const std::string& key, std::map<std::string, std::string>& into) {
  switch (node.kind) {
    case config::Yaml::Kind::map:
      for (const auto& [name, value] : node.entries) flatten(*value, key.empty() ? name->text : key + "." + name->text, into);
      return;
    case config::Yaml::Kind::list:
      for (size_t i = 0; i < node.items.size(); ++i) flatten(*node.items[i], fmt::format("{}[{}]", key, i), into);
      return;
    default: into[key] = node.text;
  }
}

void add_train(const Json& record, int64_t step, RunRecord& run) {
  TrainPoint point;
  point.step = step;
  point.loss = number(record, "loss");
  point.sent_bytes = number(record, "wire_bytes_tx_total");
  point.dense_bytes = number(record, "dense_bytes") * static_cast<double>(step);
  point.step_s = number(record, "step_s");
  point.forward_backward_s = number(record, "forward_backward_s");
  point.encode_s = number(record, "encode_s");
  point.wire_s = number(record, "wire_s");
  point.exposed_comm_s = number(record, "exposed_comm_s");
  point.optimizer_s = number(record, "optimizer_s");
  point.tokens_per_s = number(record, "tokens_per_s");
  run.train.push_back(point);
}

void add_eval(const Json& record, int64_t step, RunRecord& run) {
  for (const auto& [key, value] : record.items()) {
    if (key.starts_with("val_") && key != "val_loss" && value.is_number()) run.metric_name = key;
  }
  run.evals.push_back({step, number(record, "val_loss"), number(record, run.metric_name.c_str())});
}

void add_layers(const Json& record, int64_t step, RunRecord& run) {
  run.layers.clear();
  run.layers_step = step;
  const auto layers = record.find("layers");
  if (layers == record.end() || !layers->is_array()) return;
  for (const Json& layer : *layers) {
    if (!layer.is_object()) continue;
    LayerLine line{text(layer, "name"),
                   text(layer, "codec"),
                   number(layer, "elems"),
                   number(layer, "payload_bytes"),
                   number_if_told(layer, "error"),
                   number_if_told(layer, "residual_norm")};
    run.layers.push_back(std::move(line));
  }
}

void add(const Json& record, RunRecord& run) {
  const std::string kind = text(record, "kind");
  const auto step = static_cast<int64_t>(number(record, "step"));
  if (kind == "train" && record.contains("loss") && record["loss"].is_number()) add_train(record, step, run);
  if (kind == "eval" && record.contains("val_loss") && record["val_loss"].is_number()) add_eval(record, step, run);
  if (kind == "layers") add_layers(record, step, run);
  if (kind == "event") run.events.push_back({step, text(record, "event"), text(record, "detail")});
}

// A full disk has torn a line, say: what the others tell is still worth a page.
void tell_of_damage(const std::vector<size_t>& lines, size_t num_records, const std::string& source) {
  constexpr size_t kMostNamed = 10;
  if (num_records == 0) throw CorruptData(fmt::format("{}:{}: is no JSON object, so this is no metrics file of a run", source, lines[0]));
  const auto named = std::span(lines).first(std::min(lines.size(), kMostNamed));
  const bool is_one = lines.size() == 1;
  const std::string others = lines.size() > named.size() ? fmt::format(" and {} more", lines.size() - named.size()) : "";
  log::warn("{}: line{} {}{} {} no JSON object, and left out", source, is_one ? "" : "s", fmt::join(named, ", "), others,
            is_one ? "is" : "are");
}

// Of points with the same step keeps the last one, by step.
template <class Point>
void keep_last(std::vector<Point>& points) {
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.step < b.step; });
  std::vector<Point> kept;
  for (const Point& point : points) {
    if (!kept.empty() && kept.back().step == point.step) kept.pop_back();
    kept.push_back(point);
  }
  points = std::move(kept);
}

}  // namespace

void read_metrics(const std::string& text, const std::string& source, RunRecord& run) {
  size_t line_number = 0, num_records = 0;
  std::vector<size_t> damaged;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const Json record =
        Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    ++line_number;
    if (record.is_object()) {
      add(record, run);
      ++num_records;
    } else if (end != text.size()) {  // the last line of a run that was killed may be half there
      damaged.push_back(line_number);
    }
    begin = end + 1;
  }
  if (!damaged.empty()) tell_of_damage(damaged, num_records, source);
  keep_last(run.train);
  keep_last(run.evals);
  double trained_s = 0;
  int64_t last_step = 0;
  for (TrainPoint& point : run.train) {
    trained_s += point.step_s * static_cast<double>(point.step - last_step);
    last_step = point.step;
    point.trained_s = trained_s;
  }
}

RunRecord read_run(const fs::path& directory) {
  RunRecord run;
  run.name = fs::weakly_canonical(directory).filename();
  const std::string metrics = read_text(directory / "metrics.jsonl");
  const Json facts = Json::parse(read_text(directory / "run.json"), nullptr, false);
  if (!facts.is_object()) throw CorruptData(fmt::format("{}: is no JSON object", (directory / "run.json").string()));
  run.world = static_cast<int64_t>(number(facts, "world"));
  run.params = static_cast<int64_t>(number(facts, "params"));
  run.transport = text(facts, "transport");
  run.device = text(facts, "device");
  run.version = text(facts, "version");
  try {
    flatten(*config::parse_yaml(read_text(directory / "config.yaml")), "", run.config);
  } catch (const config::YamlError& e) {
    throw CorruptData(fmt::format("{}:{}:{}: {}", (directory / "config.yaml").string(), e.line, e.column, e.what()));
  }
  if (run.config.contains("run.steps")) run.steps = std::strtoll(run.config["run.steps"].c_str(), nullptr, 10);
  read_metrics(metrics, (directory / "metrics.jsonl").string(), run);
  return run;
}

}  // namespace thinwire::report
