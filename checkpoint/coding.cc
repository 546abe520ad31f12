#include "checkpoint/coding.h"

#include <fmt/format.h>

#include <array>

#include "checkpoint/exact/tensor.h"
#include "checkpoint/near/tensor.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

constexpr std::string_view kKeyPrefix = "coding/";
constexpr std::array<std::pair<Coding, std::string_view>, 8> kCodingNames = {{{Coding::exact, "exact"},
                                                                              {Coding::exact_from_base, "exact_from_base"},
                                                                              {Coding::values8, "values8"},
                                                                              {Coding::values4, "values4"},
                                                                              {Coding::roots8, "roots8"},
                                                                              {Coding::roots4, "roots4"},
                                                                              {Coding::centres, "centres"},
                                                                              {Coding::centres_from_base, "centres_from_base"}}};

Coding parse_coding(const std::string& name, const std::string& source) {
  for (const auto& [coding, known] : kCodingNames) {
    if (known == name) return coding;
  }
  throw CheckpointError(fmt::format("{}: unknown coding {}", source, in_quotes(name)));
}

uint64_t least_bytes(Coding coding, uint64_t elems) {
  if (is_extreme(coding)) return extreme::table_bytes(elems);
  return is_exact(coding) ? exact::table_bytes(elems) : near::least_bytes(elems);
}

// Puts what the metadata say of a tensor into `tensor`, which is so far what the header says.
void apply(const std::string& text, StoredTensor& tensor, const std::string& source) {
  const nlohmann::json object = parse_strict_json(text, source);
  const bool has_guide = object.is_object() && object.contains("guide");
  if (!object.is_object() || object.size() != (has_guide ? 4u : 3u))
    throw CheckpointError(source + ": its coding does not consist of coding, dtype and shape");
  if (tensor.dtype != DType::u8 || tensor.shape.size() != 1) throw CheckpointError(source + ": a coded tensor is a row of U8");
  tensor.coding = parse_coding(text_member(object, "coding", source), source);
  if (has_guide) tensor.guide = text_member(object, "guide", source);
  if (has_guide && !is_extreme(tensor.coding)) throw CheckpointError(source + ": only an extreme coding has a guide");
  tensor.dtype = parse_dtype(text_member(object, "dtype", source), source);
  tensor.shape = shape_member(object, source);
  const std::optional<uint64_t> bytes = num_bytes(tensor.dtype, tensor.shape);
  if (!bytes) throw CheckpointError(source + ": the product of its shape overflows");
  const uint64_t elems = *bytes / size_of(tensor.dtype);
  if (!is_exact(tensor.coding) && tensor.dtype != DType::f32) throw CheckpointError(source + ": a coding that is not exact is of F32");
  if (least_bytes(tensor.coding, elems) > tensor.stored_bytes()) {
    throw CheckpointError(fmt::format("{}: {} bytes cannot hold its shape", source, tensor.stored_bytes()));
  }
}

}  // namespace

bool is_exact(Coding coding) { return coding == Coding::none || coding == Coding::exact || coding == Coding::exact_from_base; }

bool is_extreme(Coding coding) { return coding == Coding::centres || coding == Coding::centres_from_base; }

near::Form form_of(Coding coding) {
  using Of = near::Form::Of;
  check(!is_exact(coding) && !is_extreme(coding), "a form is of near-exact codings");
  const bool is_of_values = coding == Coding::values8 || coding == Coding::values4;
  return {is_of_values ? Of::values : Of::roots, coding == Coding::values8 || coding == Coding::roots8 ? 8 : 4};
}

Coding coding_of(const near::Form& form) {
  if (form.of == near::Form::Of::values) return form.bits == 8 ? Coding::values8 : Coding::values4;
  return form.bits == 8 ? Coding::roots8 : Coding::roots4;
}

std::string describe_tolerance(const near::Form& form) {
  const bool is_of_values = form.of == near::Form::Of::values;
  return fmt::format("{} within 1/{} of the largest of their block of {}", is_of_values ? "values" : "square roots, rounded up,",
                     is_of_values ? 2 * form.q() : form.q(), near::kBlock);
}

std::string describe_tolerance(extreme::Kind kind) {
  return kind == extreme::Kind::values ? "each as one of 16 values" : "each as one of 16 distances from the base";
}

std::pair<std::string, std::string> coding_metadata(const std::string& name, Coding coding, DType dtype, const std::vector<int64_t>& shape,
                                                    const std::string& guide) {
  nlohmann::ordered_json object;
  for (const auto& [known, text] : kCodingNames) {
    if (known == coding) object["coding"] = text;
  }
  object["dtype"] = dtype_name(dtype);
  object["shape"] = shape;
  if (!guide.empty()) object["guide"] = guide;
  return {std::string(kKeyPrefix) + name, object.dump()};
}

std::map<std::string, StoredTensor> stored_tensors(const SafetensorsHeader& header, const std::string& source) {
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [name, entry] : header.tensors) tensors.emplace(name, StoredTensor{entry.dtype, entry.shape, Coding::none, {}, entry});
  for (const auto& [key, text] : header.metadata) {
    if (!key.starts_with(kKeyPrefix)) continue;
    const std::string name = key.substr(kKeyPrefix.size());
    const std::string where = fmt::format("{}: tensor {}", source, in_quotes(name));
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw CheckpointError(where + ": it has a coding, but is not there");
    apply(text, found->second, where);
  }
  return tensors;
}

}  // namespace thinwire::checkpoint
