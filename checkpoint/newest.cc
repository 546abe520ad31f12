#include "checkpoint/newest.h"

#include <fmt/format.h>

#include "base/listing.h"
#include "base/log.h"
#include "base/text.h"
#include "checkpoint/chain.h"
#include "checkpoint/layout.h"

namespace thinwire::checkpoint {

namespace fs = std::filesystem;

std::string defect_of(const fs::path& step_directory, Needs needs) {
  try {
    ChainFiles files(read_chain(step_directory), ChainFiles::Check::every_byte);
    files.open([needs](const std::string& name, const Manifest&) { return needs == Needs::everything || name == kModelFileName; });
  } catch (const NewerVersion&) {
    throw;
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "";
}

Newest newest_whole(const fs::path& directory, Needs needs) {
  Newest newest;
  for (const int64_t step : steps_in(directory)) {
    const fs::path path = directory / step_name(step);
    if (const std::string defect = defect_of(path, needs); !defect.empty()) {
      newest.defects.push_back(fmt::format("{}: {}", step_name(step), defect));
      continue;
    }
    newest.path = path;
    break;
  }
  return newest;
}

fs::path find_checkpoint(const fs::path& given, Needs needs, std::string_view or_else) {
  const fs::path path = with_name(given);
  if (!fs::exists(path))
    throw CheckpointError(fmt::format("{}: there is no such file or directory; {}", given.string(), what_is_there(path)));
  if (parse_step_name(path.filename().string())) return path;
  const fs::path directory = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  const Newest newest = newest_whole(directory, needs);
  for (const std::string& defect : newest.defects) log::warn("skipping checkpoint {}", defect);
  if (newest.path) return *newest.path;
  if (!newest.defects.empty())
    throw CheckpointError(fmt::format("no checkpoint in {} is whole:\n  {}", directory.string(), join(newest.defects, "\n  ")));
  throw CheckpointError(fmt::format("{}: there is no checkpoint in it: a run directory has checkpoints/step-N{}{}; {}", given.string(),
                                    or_else.empty() ? "" : ", ", or_else, contents_of(directory)));
}

}  // namespace thinwire::checkpoint
