// What a checkpoint says of itself, of any bytes: a manifest, or the header of a .safetensors file with the codings of its tensors. Either
// is understood, and then keeps its promises, or it is a CheckpointError that says where the bytes are from.
#include "checkpoint/coding.h"
#include "checkpoint/exact/tensor.h"
#include "checkpoint/manifest.h"
#include "checkpoint/near/tensor.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

using namespace checkpoint;

constexpr const char* kSource = "a file";

template <class Parse>
void parse_or_refuse(const Parse& parse) {
  try {
    parse();
  } catch (const CheckpointError& error) {
    require(std::string(error.what()).starts_with(kSource), "the message says where the bytes are from");
  }
}

std::string_view text_of(ConstBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Bytes bytes_of_text(const std::string& text, Bytes before = {}) {
  const ConstBytes bytes = bytes_of(std::string_view(text));
  before.insert(before.end(), bytes.begin(), bytes.end());
  return before;
}

void run_manifest(ConstBytes input) {
  parse_or_refuse([&] {
    const Manifest manifest = parse_manifest(text_of(input), kSource);
    require(!manifest.base || (manifest.base->step >= 0 && manifest.base->step < manifest.step),
            "a base comes before what is coded against it");
    const std::string once = to_json(manifest);
    require(to_json(parse_manifest(once, kSource)) == once, "a written manifest reads as the same manifest");
  });
}

Manifest example(bool has_base) {
  Manifest manifest;
  manifest.step = 20;
  manifest.world = 2;
  manifest.created = "2026-01-31T12:00:00Z";
  manifest.facts = {"trial", "0123456789abcdef", "0.1.0", {{"optim.lr", "0.002"}}, {{"plan", "none"}}};
  manifest.numbers = {{"step", 20}, {"data/hash", -1}};
  if (has_base) manifest.base = {10, 0xabcdef};
  manifest.files = {{"model.safetensors", {120, 1}}, {"rank-00001.safetensors", {9, 2}}};
  manifest.tensors = {{"w", DType::f32, {2, 3}, Scope::replicated, {"model.safetensors"}, 20},
                      {"r", DType::u8, {}, Scope::per_rank, {"rank-00001.safetensors"}, 1}};
  return manifest;
}

std::vector<Bytes> manifest_seeds() {
  std::string first = to_json(example(false));
  first.replace(first.find("\"version\": 2"), 12, "\"version\": 1");
  Manifest lossy = example(false);
  lossy.tensors.front().form = near::Form{near::Form::Of::roots, 4};
  lossy.facts.lossy_restores = {{10, 7, "near_exact"}, {15, 8, "average"}};
  Manifest centres = example(true);
  centres.tensors.front().centres = extreme::Form{extreme::Kind::differences, 0.25f};
  return {bytes_of_text(to_json(example(false))), bytes_of_text(to_json(example(true))), bytes_of_text(first),
          bytes_of_text(to_json(lossy)), bytes_of_text(to_json(centres))};
}

// The first four bytes are how many follow the header.
void run_header(ConstBytes input) {
  if (input.size() < 4) return;
  const uint64_t data_bytes = load_le<uint32_t>(input.data());
  parse_or_refuse([&] {
    const SafetensorsHeader header = parse_safetensors_header(input.subspan(4), data_bytes, kSource);
    uint64_t stored_bytes = 0;
    for (const auto& [name, tensor] : stored_tensors(header, kSource)) {
      const std::optional<uint64_t> bytes = num_bytes(tensor.dtype, tensor.shape);
      require(bytes.has_value(), "the size of a shape is known");
      require(tensor.entry.begin <= tensor.entry.end && tensor.entry.end <= data_bytes, "a tensor lies in the file");
      if (tensor.coding == Coding::none) {
        require(*bytes == tensor.stored_bytes(), "a tensor that is not coded has the size of its shape");
      } else if (is_extreme(tensor.coding)) {
        require(extreme::table_bytes(*bytes / sizeof(float)) <= tensor.stored_bytes(), "a table lies in the file");
      } else if (!is_exact(tensor.coding)) {
        require(near::least_bytes(*bytes / sizeof(float)) <= tensor.stored_bytes(), "both tables lie in the file");
      } else {
        require(exact::table_bytes(*bytes / size_of(tensor.dtype)) <= tensor.stored_bytes(), "a table lies in the file");
      }
      stored_bytes += tensor.stored_bytes();
    }
    require(stored_bytes == data_bytes, "tensors fill the file");
  });
}

Bytes header_input(uint32_t data_bytes, const std::string& header) {
  Bytes input(4);
  store_le(input.data(), data_bytes);
  return bytes_of_text(header, std::move(input));
}

std::vector<Bytes> header_seeds() {
  return {
      header_input(0, "{}"),
      header_input(24, R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})"),
      header_input(101, R"({"__metadata__":{"coding/w":"{\"coding\":\"exact\",\"dtype\":\"F32\",\"shape\":[5,8]}","step":"7"},)"
                        R"("v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[100],"data_offsets":[1,101]}})"),
      header_input(90, R"({"__metadata__":{"coding/w":"{\"coding\":\"exact_from_base\",\"dtype\":\"BF16\",\"shape\":[300000]}"},)"
                       R"("w":{"dtype":"U8","shape":[90],"data_offsets":[0,90]}})"),
      header_input(160, R"({"__metadata__":{"coding/w":"{\"coding\":\"roots4\",\"dtype\":\"F32\",\"shape\":[300]}"},)"
                        R"("w":{"dtype":"U8","shape":[160],"data_offsets":[0,160]}})"),
      header_input(120, R"({"__metadata__":{"coding/w":"{\"coding\":\"centres\",\"dtype\":\"F32\",\"shape\":[300],\"guide\":\"v\"}"},)"
                        R"("w":{"dtype":"U8","shape":[120],"data_offsets":[0,120]}})")};
}

}  // namespace

Target manifest_target() { return {"manifest", run_manifest, manifest_seeds}; }
Target checkpoint_header_target() { return {"checkpoint-header", run_header, header_seeds}; }

}  // namespace thinwire::fuzz
