#include "data/options.h"

#include <fmt/format.h>

#include <optional>
#include <string>

namespace thinwire::data {

void describe(config::Section& section, DataOptions& options) {
  const config::Range<int64_t> batch_sizes = {1, 1'000'000'000};
  section.choice("source", options.source, {"gcide", "text", "tokens", "synthetic", "fashion_mnist"},
                 "gcide: an English dictionary from the Debian package dict-gcide; text: your files; tokens: files of token ids; "
                 "synthetic: for throughput only; "
                 "fashion_mnist: images of clothing from the Debian package dataset-fashion-mnist");
  section.texts("files", options.files, "source text or tokens: paths or globs (* ? [ab]); text in .gz is unpacked");
  section.texts("validation_files", options.validation_files,
                "source tokens: paths or globs of tokens to validate on; empty: the last 5 % of files, as for text");
  section.texts("test_files", options.test_files,
                "source tokens, beside validation_files: paths or globs of the test split, which `thinwire eval --split test` scores");
  section.choice(
      "format", options.format, {"auto", "uint16", "uint32"},
      "source tokens; auto: llm.c .bin, or Megatron .bin with its .idx, by what they say; uint16, uint32: nothing but tokens, such as "
      "nanoGPT's .bin");
  section.text("gcide_path", options.gcide_path, "source gcide: path of gcide.dict.dz; empty is where the package puts it");
  section.text("fashion_mnist_path", options.fashion_mnist_path,
               "source fashion_mnist: directory of its four files; empty is where the package puts them");
  section.text(
      "tokenizer", options.tokenizer,
      "byte: a token is a byte, vocabulary 256; or a path: tokenizer.json (byte-level BPE), a SentencePiece .model, or a folder with "
      "one of them; none: source tokens without it, validated in perplexity");
  section.integer("global_batch", options.global_batch, batch_sizes, "samples (sequences or images) per optimiser step, over all ranks");
  section.integer("micro_batch", options.micro_batch, batch_sizes, "samples per forward pass of one rank");
  section.only({"format"}, {"source", {"tokens"}});
  section.only({"gcide_path"}, {"source", {"gcide"}});
  section.only({"fashion_mnist_path"}, {"source", {"fashion_mnist"}});
  section.only({"tokenizer"}, {"source", {"gcide", "text", "tokens", "synthetic"}});

  section.rule("files", [&options]() -> std::optional<std::string> {
    const bool reads_files = options.source == "text" || options.source == "tokens";
    if (reads_files && options.files.empty()) {
      return fmt::format("data.source is {}, which needs data.files: give paths or globs, such as data.files: [corpus/*.{}]",
                         options.source, options.source == "text" ? "txt.gz" : "bin");
    }
    if (!reads_files && !options.files.empty()) {
      return fmt::format("data.files is given, but data.source is {}, which does not read it: set data.source: text, or remove data.files",
                         options.source);
    }
    return std::nullopt;
  });
  section.rule("validation_files", [&options]() -> std::optional<std::string> {
    if (options.source == "tokens" || options.validation_files.empty()) return std::nullopt;
    return fmt::format("data.validation_files is given, but data.source is {}, which is cut by itself: remove it", options.source);
  });
  section.rule("test_files", [&options]() -> std::optional<std::string> {
    if (options.test_files.empty() || !options.validation_files.empty()) return std::nullopt;
    return "data.test_files is given, but no data.validation_files, without which data.files are cut into all three splits: give both or "
           "none";
  });
  section.rule("tokenizer", [&options]() -> std::optional<std::string> {
    if (options.tokenizer.empty()) return "data.tokenizer is empty: say byte, or the path of a tokenizer";
    if (options.tokenizer != "none" || options.source == "tokens") return std::nullopt;
    return fmt::format("data.tokenizer is none, but data.source is {}: only tokens can do without", options.source);
  });
  section.rule("global_batch", [&options]() -> std::optional<std::string> {
    if (options.micro_batch < 1 || options.global_batch % options.micro_batch == 0) return std::nullopt;
    const int64_t below = options.global_batch / options.micro_batch * options.micro_batch;
    return fmt::format("data.global_batch {} is no multiple of data.micro_batch {}: the nearest that are: {}{}", options.global_batch,
                       options.micro_batch, below > 0 ? fmt::format("{} and ", below) : "", below + options.micro_batch);
  });
}

}  // namespace thinwire::data
