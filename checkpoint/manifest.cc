#include "checkpoint/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

using nlohmann::json;
using Type = json::value_t;

constexpr const char* kFormat = "thinwire-checkpoint";
constexpr uint64_t kMaxManifestBytes = 256'000'000;
constexpr int64_t kMaxStep = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxWorld = 99'999;  // what rank-00000 has digits for
constexpr const char* kScopeNames[] = {"replicated", "per_rank"};
constexpr const char* kFormNames[] = {"value", "root"};
constexpr const char* kCentresNames[] = {"centre", "centre_from_base"};

std::map<std::string, std::string> parse_texts(const json& object, const std::string& source) {
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : object.items()) texts[key] = text_member(object, key, source);
  return texts;
}

std::map<std::string, int64_t> parse_numbers(const json& object, const std::string& source) {
  std::map<std::string, int64_t> numbers;
  for (const auto& [key, value] : object.items()) {
    numbers[key] = integer_member(object, key, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), source);
  }
  return numbers;
}

// A name from a manifest becomes a path: only the names that we give are accepted.
std::string parse_file_name(const std::string& name, int world, const std::string& source) {
  if (name == kModelFileName) return name;
  int rank = -1;
  constexpr std::string_view kPrefix = "rank-";
  if (name.starts_with(kPrefix)) std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), rank);
  if (rank < 0 || rank >= world || name != rank_file_name(rank)) {
    throw CheckpointError(fmt::format("{}: {} is no file of a checkpoint of {} ranks", source, in_quotes(name), world));
  }
  return name;
}

uint64_t parse_hash(const json& object, const std::string& key, const std::string& source) {
  const std::string text = text_member(object, key, source);
  uint64_t hash = 0;
  std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (to_hex(hash) != text) throw CheckpointError(fmt::format("{}: '{}' should be 16 lower-case hex digits", source, key));
  return hash;
}

ManifestBase parse_base(const json& object, int64_t step, const std::string& source) {
  if (step == 0) throw CheckpointError(source + ": nothing comes before step 0");
  return {integer_member(object, "step", 0, step - 1, source), parse_hash(object, "manifest_xxh3", source)};
}

std::vector<ManifestFile> parse_files(const json& array, int world, const std::string& source) {
  std::vector<ManifestFile> files;
  std::set<std::string> names;
  for (const json& object : array) {
    if (!object.is_object()) throw CheckpointError(source + ": an element of 'files' is not an object");
    const auto bytes = static_cast<uint64_t>(integer_member(object, "bytes", 0, kMaxStep, source));
    files.push_back({parse_file_name(text_member(object, "name", source), world, source), {bytes, parse_hash(object, "xxh3", source)}});
    if (!names.insert(files.back().name).second) throw CheckpointError(fmt::format("{}: {} is listed twice", source, files.back().name));
  }
  if (!names.contains(kModelFileName)) throw CheckpointError(fmt::format("{}: {} is not listed", source, kModelFileName));
  return files;
}

// In all its files; version 1 stores tensors as they are.
uint64_t parse_stored_bytes(const json& object, int64_t version, const ManifestTensor& tensor, const std::string& where) {
  if (version > 1) return static_cast<uint64_t>(integer_member(object, "stored_bytes", 0, kMaxStep, where));
  const std::optional<uint64_t> bytes = num_bytes(tensor.dtype, tensor.shape);
  if (!bytes) throw CheckpointError(where + ": the product of its shape overflows");
  return *bytes * tensor.files.size();
}

near::Form parse_form(const json& object, const std::string& source) {
  const std::string of = text_member(object, "of", source);
  const bool is_of_values = of == kFormNames[0];
  if (!is_of_values && of != kFormNames[1]) throw CheckpointError(fmt::format("{}: unknown 'of' {}", source, in_quotes(of)));
  near::Form form;
  form.of = is_of_values ? near::Form::Of::values : near::Form::Of::roots;
  form.bits = static_cast<int>(integer_member(object, "bits", 4, 8, source));
  const auto block = integer_member(object, "block", 1, kMaxStep, source);
  if ((form.bits != 4 && form.bits != 8) || block != static_cast<int64_t>(near::kBlock))
    throw CheckpointError(fmt::format("{}: {} bits in blocks of {} are no known tolerance", source, form.bits, block));
  return form;
}

extreme::Form parse_centres(const json& object, const std::string& source) {
  const std::string of = text_member(object, "of", source);
  const double off_by = member(object, "off_by", Type::number_float, source).get<double>();
  if (of != kCentresNames[0] && of != kCentresNames[1]) throw CheckpointError(fmt::format("{}: unknown 'of' {}", source, in_quotes(of)));
  if (!(off_by >= 0 && off_by <= std::numeric_limits<float>::max()))
    throw CheckpointError(fmt::format("{}: 'off_by' is {}, which is no distance", source, off_by));
  return {of == kCentresNames[0] ? extreme::Kind::values : extreme::Kind::differences, static_cast<float>(off_by)};
}

void parse_loss(const json& object, ManifestTensor& tensor, const std::string& source) {
  if (object.contains("off_by")) {
    tensor.centres = parse_centres(object, source);
  } else {
    tensor.form = parse_form(object, source);
  }
}

ManifestTensor parse_tensor(const json& object, int64_t version, int world, const std::string& source) {
  if (!object.is_object()) throw CheckpointError(source + ": an element of 'tensors' is not an object");
  ManifestTensor tensor;
  tensor.name = text_member(object, "name", source);
  const std::string where = fmt::format("{}: tensor {}", source, in_quotes(tensor.name));
  tensor.dtype = parse_dtype(text_member(object, "dtype", where), where);
  tensor.shape = shape_member(object, where);
  const std::string scope = text_member(object, "scope", where);
  if (scope != kScopeNames[0] && scope != kScopeNames[1])
    throw CheckpointError(fmt::format("{}: unknown scope {}", where, in_quotes(scope)));
  tensor.scope = scope == kScopeNames[0] ? Scope::replicated : Scope::per_rank;
  for (const json& name : member(object, "files", Type::array, where)) {
    if (!name.is_string()) throw CheckpointError(where + ": a file's name is not a string");
    tensor.files.push_back(parse_file_name(name.get<std::string>(), world, where));
  }
  tensor.stored_bytes = parse_stored_bytes(object, version, tensor, where);
  if (object.contains("tolerance")) parse_loss(member(object, "tolerance", Type::object, where), tensor, where + ": tolerance");
  return tensor;
}

// As a reader of the manifest needs it, and as much as a program needs to know of it.
nlohmann::ordered_json to_json(const near::Form& form) {
  return {{"of", kFormNames[static_cast<size_t>(form.of)]}, {"bits", form.bits}, {"block", near::kBlock}, {"within", form.tolerance()}};
}

nlohmann::ordered_json to_json(const extreme::Form& form) {
  return {{"of", kCentresNames[static_cast<size_t>(form.kind)]},
          {"bits", 4},
          {"off_by", std::stod(fmt::format("{}", form.off_by))}};  // in few digits
}

std::vector<LossyRestore> parse_lossy_restores(const json& array, const std::string& source) {
  std::vector<LossyRestore> restores;
  for (const json& object : array) {
    if (!object.is_object()) throw CheckpointError(source + ": an element of 'lossy_restores' is not an object");
    restores.push_back({integer_member(object, "step", 0, kMaxStep, source), parse_hash(object, "manifest_xxh3", source),
                        text_member(object, "how", source)});
  }
  return restores;
}

// The lowest that tells it all, so that an older program reads what it can.
int64_t version_of(const Manifest& manifest) {
  if (manifest.base) return 5;
  if (std::ranges::any_of(manifest.tensors, [](const ManifestTensor& tensor) { return tensor.centres.has_value(); })) return 4;
  return manifest.is_lossy() || !manifest.facts.lossy_restores.empty() ? 3 : 2;
}

int64_t parse_version(const json& root, const std::string& source) {
  if (!root.is_object() || text_member(root, "format", source) != kFormat) {
    throw CheckpointError(fmt::format("{}: this is not the manifest of a Thinwire checkpoint", source));
  }
  const int64_t version = integer_member(root, "version", 1, kMaxStep, source);
  if (version > kManifestVersion) {
    throw NewerVersion(fmt::format("{}: format version {} is newer than {}, the newest that this program reads; use a newer Thinwire",
                                   source, version, kManifestVersion));
  }
  return version;
}

// Each member on a line, and each entry of a member on one that is not broken: indented throughout, it would be a third longer, and next to
// an extreme coding of a small model that counts.
std::string laid_out(const nlohmann::ordered_json& value, int depth = 0) {
  if (depth == 2 || !value.is_structured() || value.empty()) {
    // A config value may hold any bytes; JSON may not.
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }
  std::string text(1, value.is_object() ? '{' : '[');
  for (const auto& [key, entry] : value.items()) {
    text += fmt::format("\n{:{}}", "", depth + 1);
    if (value.is_object()) text += laid_out(key, 2) + ": ";
    text += laid_out(entry, depth + 1) + ",";
  }
  text.back() = '\n';
  return text + fmt::format("{:{}}{}", "", depth, value.is_object() ? '}' : ']');
}

}  // namespace

bool Manifest::is_lossy() const {
  return std::ranges::any_of(tensors, [](const ManifestTensor& tensor) { return tensor.is_lossy(); });
}

std::string Manifest::lossy_how() const {
  return std::ranges::any_of(tensors, [](const ManifestTensor& tensor) { return tensor.centres.has_value(); }) ? "extreme" : "near_exact";
}

std::string to_json(const Manifest& manifest) {
  nlohmann::ordered_json root;
  root["format"] = kFormat;
  root["version"] = version_of(manifest);
  root["writer"] = manifest.facts.version;
  root["step"] = manifest.step;
  root["world"] = manifest.world;
  root["created"] = manifest.created;
  root["run"] = manifest.facts.run_name;
  root["config_hash"] = manifest.facts.config_hash;
  root["config"] = manifest.facts.config;
  root["notes"] = manifest.facts.notes;
  root["numbers"] = manifest.numbers;
  if (manifest.base) root["base"] = {{"step", manifest.base->step}, {"manifest_xxh3", to_hex(manifest.base->manifest_hash)}};
  for (const LossyRestore& restore : manifest.facts.lossy_restores) {
    root["lossy_restores"].push_back({{"step", restore.step}, {"manifest_xxh3", to_hex(restore.manifest_hash)}, {"how", restore.how}});
  }
  root["files"] = nlohmann::ordered_json::array();
  for (const ManifestFile& file : manifest.files) {
    root["files"].push_back({{"name", file.name}, {"bytes", file.summary.bytes}, {"xxh3", to_hex(file.summary.hash)}});
  }
  root["tensors"] = nlohmann::ordered_json::array();
  for (const ManifestTensor& tensor : manifest.tensors) {
    root["tensors"].push_back({{"name", tensor.name},
                               {"dtype", dtype_name(tensor.dtype)},
                               {"shape", tensor.shape},
                               {"scope", kScopeNames[static_cast<size_t>(tensor.scope)]},
                               {"files", tensor.files},
                               {"stored_bytes", tensor.stored_bytes}});
    if (tensor.form) root["tensors"].back()["tolerance"] = to_json(*tensor.form);
    if (tensor.centres) root["tensors"].back()["tolerance"] = to_json(*tensor.centres);
  }
  return laid_out(root) + "\n";
}

Manifest parse_manifest(std::string_view text, const std::string& source) {
  const json root = parse_strict_json(text, source);
  const int64_t version = parse_version(root, source);
  Manifest manifest;
  manifest.facts.version = text_member(root, "writer", source);
  manifest.step = integer_member(root, "step", 0, kMaxStep, source);
  manifest.world = static_cast<int>(integer_member(root, "world", 1, kMaxWorld, source));
  manifest.created = text_member(root, "created", source);
  manifest.facts.run_name = text_member(root, "run", source);
  manifest.facts.config_hash = text_member(root, "config_hash", source);
  manifest.facts.config = parse_texts(member(root, "config", Type::object, source), source + ": config");
  if (root.contains("notes")) manifest.facts.notes = parse_texts(member(root, "notes", Type::object, source), source + ": notes");
  manifest.numbers = parse_numbers(member(root, "numbers", Type::object, source), source + ": numbers");
  if (root.contains("base")) manifest.base = parse_base(member(root, "base", Type::object, source), manifest.step, source + ": base");
  if (root.contains("lossy_restores"))
    manifest.facts.lossy_restores = parse_lossy_restores(member(root, "lossy_restores", Type::array, source), source + ": lossy_restores");
  manifest.files = parse_files(member(root, "files", Type::array, source), manifest.world, source);
  for (const json& object : member(root, "tensors", Type::array, source)) {
    manifest.tensors.push_back(parse_tensor(object, version, manifest.world, source));
  }
  return manifest;
}

Manifest read_manifest(const std::filesystem::path& step_directory) {
  const std::filesystem::path path = step_directory / kManifestName, complete = step_directory / kCompleteName;
  if (!std::filesystem::exists(complete)) {
    throw CheckpointError(fmt::format("{} is incomplete: it has no file COMPLETE", step_directory.string()));
  }
  const std::string seal = read_text(complete, 4096);
  const std::string text = read_text(path, kMaxManifestBytes);
  const uint64_t hash = hash64(text);
  if (seal != complete_text(hash)) {
    throw CheckpointError(fmt::format("{}: {} is damaged: its hash is not the one in COMPLETE", step_directory.string(), kManifestName));
  }
  Manifest manifest = parse_manifest(text, path.string());
  manifest.hash = hash;
  const std::optional<int64_t> named = parse_step_name(step_directory.filename().string());
  if (named && *named != manifest.step) {
    throw CheckpointError(fmt::format("{} holds step {}: it was renamed", step_directory.string(), manifest.step));
  }
  return manifest;
}

std::string complete_text(uint64_t manifest_hash) { return to_hex(manifest_hash) + "\n"; }

InputFile open_sized(const ManifestFile& listed, const std::filesystem::path& step_directory) {
  InputFile file(step_directory / listed.name);
  if (file.size() != listed.summary.bytes) {
    throw CheckpointError(
        fmt::format("{} is damaged: it has {} bytes instead of {}", file.path().string(), file.size(), listed.summary.bytes));
  }
  return file;
}

InputFile open_checked(const ManifestFile& listed, const std::filesystem::path& step_directory) {
  InputFile file = open_sized(listed, step_directory);
  const uint64_t found = hash_file(file).hash;
  if (found != listed.summary.hash) {
    throw CheckpointError(
        fmt::format("{} is damaged: its XXH3 is {} instead of {}", file.path().string(), to_hex(found), to_hex(listed.summary.hash)));
  }
  return file;
}

}  // namespace thinwire::checkpoint
