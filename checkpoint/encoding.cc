#include "checkpoint/encoding.h"

#include <utility>

#include "checkpoint/elements.h"
#include "checkpoint/exact/parallel.h"
#include "checkpoint/families.h"
#include "checkpoint/near/tensor.h"

namespace thinwire::checkpoint {
namespace {

// What a difference must save of a chunk to be worth a second checkpoint that must stay, and twice the time to load
// (docs/decisions/008-bases.md).
constexpr double kLeastGain = 0.05;

TensorView as_it_is(const StateTensor& tensor) { return {tensor.name, tensor.dtype, tensor.shape, tensor.memory}; }

// What the base has under that name, if it has the same form.
exact::Earlier earlier_of(const StateTensor& tensor, const Way& way) {
  const auto reader = way.base == nullptr ? nullptr : way.base->reader_as_base(way.file_name, tensor.name);
  if (!reader || reader->tensor().dtype != tensor.dtype || reader->num_bytes() != tensor.memory.size()) return {};
  return exact::Earlier([reader](size_t chunk, exact::ChunkCoder& coder, MutableBytes into) { reader->read(chunk, coder, into); });
}

// A tensor on its way: coded without loss, or levels and scales that are coded without loss in its place.
struct Coded {
  std::optional<near::Form> form;
  near::Blocks blocks;  // where there is a form
  exact::Parts parts, scales;
};

std::optional<near::Form> form_of(const StateTensor& tensor, const CheckpointOptions& options) {
  if (tensor.dtype != DType::f32) return std::nullopt;
  if (options.mode == "extreme" && tensor.tolerance == Tolerance::residual) return near::Form{near::Form::Of::values, 4};
  if (options.mode != "near_exact") return std::nullopt;
  const int bits = options.moments == "4" ? 4 : 8;
  switch (tensor.tolerance) {
    case Tolerance::none:
    case Tolerance::weight: return std::nullopt;
    case Tolerance::moment: return near::Form{near::Form::Of::values, bits};
    case Tolerance::second_moment: return near::Form{near::Form::Of::roots, bits};
    case Tolerance::residual: return near::Form{near::Form::Of::values, 8};
  }
  return std::nullopt;
}

// What cannot be had in few bits (a number that is not finite) is kept exactly.
void quantize(Coded& coded, const StateTensor& tensor, const CheckpointOptions& options) {
  coded.form = form_of(tensor, options);
  if (!coded.form) return;
  if (auto blocks = near::quantize(*coded.form, floats_of(tensor))) {
    coded.blocks = *std::move(blocks);
  } else {
    coded.form.reset();
  }
}

std::vector<Coded> code(const std::vector<const StateTensor*>& tensors, const Way& way) {
  const auto threads = static_cast<int>(way.options.threads);
  std::vector<Coded> coded(tensors.size());
  exact::in_parallel(tensors.size(), threads, [&](size_t i, exact::ChunkCoder&) { quantize(coded[i], *tensors[i], way.options); });
  std::vector<exact::Tensor> to_code;
  std::vector<exact::Parts*> into;
  for (size_t i = 0; i < tensors.size(); ++i) {
    into.push_back(&coded[i].parts);
    if (coded[i].form) {
      to_code.push_back({DType::u8, 0, std::as_bytes(std::span(coded[i].blocks.levels))});
      to_code.push_back({DType::f32, 0, std::as_bytes(std::span(coded[i].blocks.scales))});
      into.push_back(&coded[i].scales);
    } else {
      to_code.push_back({tensors[i]->dtype, row_elems(tensors[i]->shape), tensors[i]->memory, earlier_of(*tensors[i], way), kLeastGain});
    }
  }
  std::vector<exact::Parts> parts = exact::encode(to_code, threads);
  for (size_t i = 0; i < parts.size(); ++i) *into[i] = std::move(parts[i]);
  return coded;
}

Coding coding_of(const Coded& coded) {
  if (coded.form) return checkpoint::coding_of(*coded.form);
  return exact::needs_earlier(coded.parts) ? Coding::exact_from_base : Coding::exact;
}

size_t num_bytes(const Coded& coded) {
  return exact::num_bytes(coded.parts) + (coded.form ? near::kHeaderBytes + exact::num_bytes(coded.scales) : size_t{0});
}

std::vector<std::byte> joined(const Coded& coded, const StateTensor& tensor) {
  return coded.form ? near::joined(*coded.form, floats_of(tensor).size(), coded.parts, coded.scales) : exact::joined(coded.parts);
}

void add(Contents& contents, const StateTensor& tensor, std::vector<std::byte> coding, std::pair<std::string, std::string> said) {
  contents.codings.push_back(std::move(coding));
  const ConstBytes bytes = contents.codings.back();
  contents.views.push_back({tensor.name, DType::u8, {static_cast<int64_t>(bytes.size())}, bytes});
  contents.metadata.insert(std::move(said));
}

void add_extreme(Contents& contents, const StateTensor& tensor, ExtremeCoding coded) {
  const Coding coding = coded.kind == extreme::Kind::differences ? Coding::centres_from_base : Coding::centres;
  add(contents, tensor, std::move(coded.bytes), coding_metadata(tensor.name, coding, tensor.dtype, tensor.shape, coded.guide));
}

}  // namespace

Contents encode(const std::vector<const StateTensor*>& tensors, const Way& way) {
  Contents contents;
  if (way.options.mode == "raw") {
    for (const StateTensor* tensor : tensors) contents.views.push_back(as_it_is(*tensor));
    return contents;
  }
  std::map<size_t, ExtremeCoding> extreme;
  if (way.options.mode == "extreme") extreme = encode_families(tensors, way);
  std::vector<const StateTensor*> rest;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (const auto found = extreme.find(i); found != extreme.end()) {
      add_extreme(contents, *tensors[i], std::move(found->second));
    } else {
      rest.push_back(tensors[i]);
    }
  }
  std::vector<Coded> all = code(rest, way);
  for (size_t i = 0; i < rest.size(); ++i) {
    const StateTensor& tensor = *rest[i];
    const Coded coded = std::exchange(all[i], {});
    auto said = coding_metadata(tensor.name, coding_of(coded), tensor.dtype, tensor.shape);
    if (num_bytes(coded) + said.first.size() + said.second.size() >= tensor.memory.size()) {
      contents.views.push_back(as_it_is(tensor));
    } else {
      add(contents, tensor, joined(coded, tensor), std::move(said));
    }
  }
  return contents;
}

}  // namespace thinwire::checkpoint
