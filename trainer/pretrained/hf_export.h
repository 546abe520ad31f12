// Writing a model as Hugging Face's transformers reads it.
#pragma once
#include <filesystem>

#include "base/dtype.h"
#include "trainer/pretrained/pretrained.h"

namespace thinwire::trainer {

struct HfExportOptions {
  DType dtype = DType::f32;  // or bf16, rounded to nearest even
  uint64_t max_shard_bytes = 5'000'000'000;
};

// Makes `folder` with config.json, generation_config.json, the tensors (checkpoint/model_folder.h) and the tokenizer's files; under another
// name until all is there. The same model and options give the same bytes. ConfigError when the folder exists; Error(other) when it
// cannot be written: then nothing is left of it.
void export_to_folder(const Pretrained& model, const std::filesystem::path& folder, const HfExportOptions& options);

}  // namespace thinwire::trainer
