#include "trainer/pretrained/hf_export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/output.h"
#include "checkpoint/model_folder.h"
#include "trainer/pretrained/hf_config.h"

namespace thinwire::trainer {

namespace fs = std::filesystem;

namespace {

void write_all(const Pretrained& model, const fs::path& folder, const HfExportOptions& options) {
  checkpoint::Files files;
  std::vector<at::Tensor> values;  // what the views refer to
  std::vector<checkpoint::TensorView> views;
  for (const auto& parameter : model.model->parameters()) {
    values.push_back(parameter.value.detach().to(options.dtype == DType::bf16 ? at::kBFloat16 : at::kFloat).contiguous());
    const at::Tensor& value = values.back();
    views.push_back(
        {parameter.name, options.dtype, value.sizes().vec(), {static_cast<const std::byte*>(value.data_ptr()), value.nbytes()}});
  }
  checkpoint::write_model_folder(folder, views, options.max_shard_bytes);
  const HfConfig config{model.source.model, model.source.begin, model.source.end};
  checkpoint::write_file(files, folder / "config.json", hf_config_json(config, options.dtype));
  checkpoint::write_file(files, folder / "generation_config.json", hf_generation_config_json(config));
  if (!model.source.tokenizer) return;
  for (const auto& [name, content] : model.source.tokenizer->files()) checkpoint::write_file(files, folder / name, content);
}

}  // namespace

void export_to_folder(const Pretrained& model, const fs::path& given, const HfExportOptions& options) {
  const fs::path folder = given.has_filename() ? given : given.parent_path();
  if (fs::exists(folder))
    throw ConfigError(fmt::format("--out {}: it exists already; choose another folder, or remove it", given.string()));
  checkpoint::Files files;
  try {
    write_folder(folder, [&](const fs::path& temporary) {
      write_all(model, temporary, options);
      files.sync_directory(temporary);
    });
    files.sync_directory(folder.has_parent_path() ? folder.parent_path() : fs::path("."));
  } catch (const CheckpointError& e) {
    throw Error(ExitCode::other, e.what());  // what is written is no checkpoint
  }
}

}  // namespace thinwire::trainer
