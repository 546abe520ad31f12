#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/text.h"
#include "checkpoint/chain.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/elements.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

struct Distance {
  uint64_t elems = 0, differing = 0;  // by their bits
  double largest = 0, squares = 0;

  void add(DType dtype, ConstBytes a, ConstBytes b) {
    const size_t width = size_of(dtype);
    elems += a.size() / width;
    for (size_t i = 0; i < a.size(); i += width) {
      if (std::memcmp(a.data() + i, b.data() + i, width) == 0) continue;
      const double distance = std::abs(value_at(dtype, a.data() + i) - value_at(dtype, b.data() + i));
      ++differing;
      squares += distance * distance;
      if (!std::isnan(largest) && !(distance <= largest)) largest = distance;
    }
  }
};

Distance distance_between(const TensorReader& a, const TensorReader& b) {
  Distance distance;
  exact::ChunkCoder coder;
  std::vector<std::byte> of_a, of_b;
  for (size_t chunk = 0; chunk < a.num_chunks(); ++chunk) {
    for (auto& [reader, bytes] : {std::pair(&a, &of_a), std::pair(&b, &of_b)}) {
      bytes->resize(a.bytes_of(chunk));
      reader->read(chunk, coder, *bytes);
    }
    distance.add(a.tensor().dtype, of_a, of_b);
  }
  return distance;
}

std::string described(const StoredTensor& tensor) { return describe_tensor(tensor.dtype, tensor.shape); }

std::string tolerance_of(const StoredTensor& tensor, const char* which) {
  if (is_exact(tensor.coding)) return "";
  return fmt::format("; the {} keeps {}", which,
                     is_extreme(tensor.coding) ? describe_tolerance(kind_of(tensor.coding)) : describe_tolerance(form_of(tensor.coding)));
}

class Comparison {
 public:
  Comparison(const fs::path& a, const fs::path& b, const std::function<bool(std::string_view)>& is_beside)
      : a_(read_chain(a), ChainFiles::Check::every_byte), b_(read_chain(b), ChainFiles::Check::every_byte), is_beside_(is_beside) {}

  Difference run() {
    compare_numbers();
    std::set<std::string> files;
    for (const ChainFiles* side : {&a_, &b_}) {
      for (const ManifestFile& file : side->chain().front().manifest.files) files.insert(file.name);
    }
    for (const std::string& file : files) compare_file(file);
    difference_.text += fmt::format("{} tensors are equal, {} differ, {} are in one only\n", equal_, differing_, alone_);
    return difference_;
  }

 private:
  void note(const std::string& line) {
    difference_.text += line + "\n";
    difference_.are_equal = false;
  }

  void compare_numbers() {
    const auto &a = a_.chain().front().manifest.numbers, &b = b_.chain().front().manifest.numbers;
    std::set<std::string> names;
    for (const auto* numbers : {&a, &b}) {
      for (const auto& [name, value] : *numbers) names.insert(name);
    }
    const auto text_of = [](const auto& numbers, const std::string& name) {
      return numbers.contains(name) ? std::to_string(numbers.at(name)) : std::string("absent");
    };
    for (const std::string& name : names) {
      if (text_of(a, name) != text_of(b, name)) note(fmt::format("number {}: {}, {}", in_quotes(name), text_of(a, name), text_of(b, name)));
    }
  }

  void compare_file(const std::string& file) {
    static const std::map<std::string, StoredTensor> kNone;
    const ChainFiles::Shard *of_a = a_.shard(file), *of_b = b_.shard(file);
    const auto &a = of_a ? of_a->tensors : kNone, &b = of_b ? of_b->tensors : kNone;
    for (const auto& [name, tensor] : a) {
      const auto other = b.find(name);
      if (other == b.end()) {
        note_alone(file, name, tensor, "first");
      } else if (tensor.dtype != other->second.dtype || tensor.shape != other->second.shape) {
        ++differing_;
        note(fmt::format("{} {}: {}, {}", file, in_quotes(name), described(tensor), described(other->second)));
      } else {
        compare_tensor(file, name, tensor);
      }
    }
    for (const auto& [name, tensor] : b) {
      if (!a.contains(name)) note_alone(file, name, tensor, "second");
    }
  }

  void note_alone(const std::string& file, const std::string& name, const StoredTensor& tensor, const char* which) {
    ++alone_;
    note(fmt::format("{} {} {}: only in the {}", file, in_quotes(name), described(tensor), which));
  }

  void compare_tensor(const std::string& file, const std::string& name, const StoredTensor& tensor) {
    const Distance distance = distance_between(*a_.reader(file, name), *b_.reader(file, name));
    if (distance.differing == 0) return void(++equal_);
    if (is_beside_ && is_beside_(name)) {
      difference_.text +=
          fmt::format("{} {} {}: not the same, which does not count: no step depends on it\n", file, in_quotes(name), described(tensor));
      return;
    }
    ++differing_;
    note(fmt::format("{} {} {}: {} of {} elements differ, by {:.3g} at most, rms {:.3g}{}{}", file, in_quotes(name), described(tensor),
                     with_thousands(static_cast<int64_t>(distance.differing)), with_thousands(static_cast<int64_t>(distance.elems)),
                     distance.largest, std::sqrt(distance.squares / static_cast<double>(distance.elems)), tolerance_of(tensor, "first"),
                     tolerance_of(b_.shard(file)->tensors.at(name), "second")));
  }

  ChainFiles a_, b_;
  const std::function<bool(std::string_view)>& is_beside_;
  Difference difference_;
  uint64_t equal_ = 0, differing_ = 0, alone_ = 0;
};

}  // namespace

Difference diff(const fs::path& a, const fs::path& b, const std::function<bool(std::string_view name)>& is_beside) {
  return Comparison(a, b, is_beside).run();
}

}  // namespace thinwire::checkpoint
