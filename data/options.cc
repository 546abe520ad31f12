#include "data/options.h"

#include <fmt/format.h>

#include <optional>
#include <string>

namespace thinwire::data {

void describe(config::Section& section, DataOptions& options) {
  const config::Range<int64_t> batch_sizes = {1, 1'000'000'000};
  section.choice("source", options.source, {"gcide", "text", "synthetic", "fashion_mnist"},
                 "gcide: an English dictionary from the Debian package dict-gcide; text: your files; synthetic: for throughput only; "
                 "fashion_mnist: images of clothing from the Debian package dataset-fashion-mnist");
  section.texts("files", options.files, "source text: paths or globs (* ? [ab]); .gz is unpacked");
  section.text("gcide_path", options.gcide_path, "source gcide: path of gcide.dict.dz; empty is where the package puts it");
  section.text("fashion_mnist_path", options.fashion_mnist_path,
               "source fashion_mnist: directory of its four files; empty is where the package puts them");
  section.choice("tokenizer", options.tokenizer, {"byte"}, "byte: a token is a byte, vocabulary 256");
  section.integer("global_batch", options.global_batch, batch_sizes, "samples (sequences or images) per optimiser step, over all ranks");
  section.integer("micro_batch", options.micro_batch, batch_sizes, "samples per forward pass of one rank");

  section.rule("files", [&options]() -> std::optional<std::string> {
    if (options.source == "text" && options.files.empty()) {
      return "data.source is text, which needs data.files: give paths or globs, such as data.files: [corpus/*.txt.gz]";
    }
    if (options.source != "text" && !options.files.empty()) {
      return fmt::format("data.files is given, but data.source is {}, which does not read it: set data.source: text, or remove data.files",
                         options.source);
    }
    return std::nullopt;
  });
  section.rule("global_batch", [&options]() -> std::optional<std::string> {
    if (options.micro_batch < 1 || options.global_batch % options.micro_batch == 0) return std::nullopt;
    const int64_t below = options.global_batch / options.micro_batch * options.micro_batch;
    return fmt::format("data.global_batch {} is no multiple of data.micro_batch {}: the nearest that are: {}{}", options.global_batch,
                       options.micro_batch, below > 0 ? fmt::format("{} and ", below) : "", below + options.micro_batch);
  });
}

}  // namespace thinwire::data
