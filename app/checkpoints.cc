#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "app/build_info.h"
#include "app/command_line.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/listing.h"
#include "base/log.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/newest.h"
#include "checkpoint/rewrite.h"
#include "trainer/tolerances.h"

namespace thinwire::app {

namespace fs = std::filesystem;

namespace {

// A run directory, its checkpoints folder, or one checkpoint.
struct Place {
  fs::path checkpoints;
  std::optional<fs::path> step;
};

Place find(const std::string& given) {
  const fs::path path = checkpoint::with_name(given);
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw CheckpointError(fmt::format("{} is a file: name a run directory, or the checkpoint step-N that it is in", given));
  }
  if (!fs::is_directory(path)) throw CheckpointError(fmt::format("{}: there is no such directory; {}", given, what_is_there(path)));
  if (path.filename().string().starts_with("step-")) return {path.parent_path(), path};
  if (fs::is_directory(path / "checkpoints")) return {path / "checkpoints", std::nullopt};
  return {path, std::nullopt};
}

// Damaged and incomplete ones too: whatever claims to be a checkpoint by its name, oldest first.
std::vector<fs::path> chosen(const std::string& given) {
  const Place place = find(given);
  if (place.step) return {*place.step};
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(place.checkpoints)) {
    if (entry.is_directory() && entry.path().filename().string().starts_with("step-")) paths.push_back(entry.path());
  }
  if (paths.empty()) {
    throw CheckpointError(
        fmt::format("{}: there is no checkpoint in it (one is a folder named step-N); {}", given, contents_of(place.checkpoints)));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Of a run the newest that is whole, as a resume takes it. One that is named itself has to be, since it was meant and no other.
fs::path whole(const std::string& given) {
  const Place place = find(given);
  if (!place.step) return checkpoint::find_checkpoint(place.checkpoints, checkpoint::Needs::everything);
  const std::string defect = checkpoint::defect_of(*place.step, checkpoint::Needs::everything);
  if (defect.empty()) return *place.step;
  const auto other = checkpoint::newest_whole(place.checkpoints, checkpoint::Needs::everything).path;
  throw CheckpointError(other ? fmt::format("{}; the newest beside it that is whole is {}: name that one", defect, other->string())
                              : defect);
}

std::string mode_of(const std::string& how) { return how == "near_exact" ? "near-exact" : how; }

// ", its state went through near-exact (step 10)", or an average of several.
std::string history_of(const std::vector<checkpoint::LossyRestore>& restores) {
  std::vector<std::string> stations;
  for (size_t i = 0; i < restores.size();) {
    const std::string& how = restores[i].how;
    std::vector<std::string> steps;
    for (; i < restores.size() && restores[i].how == how; ++i) steps.push_back(std::to_string(restores[i].step));
    stations.push_back(fmt::format("{} (step{} {})", mode_of(how), steps.size() == 1 ? "" : "s", join(steps, ", ")));
  }
  return stations.empty() ? "" : ", its state went through " + join(stations, ", then ");
}

void print_entry(const checkpoint::Listing& entry) {
  const std::string path = entry.path.string();
  if (entry.world == 0) {
    fmt::print("step {:>10}  {}\n", entry.step, path);
  } else {
    fmt::print("step {:>10}  {:>10}  {} rank{}  {}  {}{}{}{}\n", entry.step, human_bytes(static_cast<double>(entry.bytes)), entry.world,
               entry.world == 1 ? "" : "s", entry.created, path, entry.base ? fmt::format(", needs step {}", *entry.base) : "",
               entry.lossy.empty() ? "" : ", " + mode_of(entry.lossy), history_of(entry.lossy_restores));
  }
  for (const std::string& defect : entry.defects) fmt::print("  damaged: {}\n", defect);
}

int list(const std::string& given) {
  const auto entries = checkpoint::list(find(given).checkpoints);
  for (const auto& entry : entries) print_entry(entry);
  if (std::ranges::all_of(entries, [](const auto& entry) { return entry.world == 0; })) {
    throw CheckpointError(fmt::format("{}: there is no complete checkpoint in it; {}", given, contents_of(find(given).checkpoints)));
  }
  return 0;
}

int inspect(const std::string& given) {
  std::fputs(checkpoint::inspect(chosen(given).back()).c_str(), stdout);
  return 0;
}

// Where the manifest cannot be read nobody knows: that is among the defects then.
std::vector<std::string> foreign_to(const fs::path& step_directory) {
  try {
    return checkpoint::foreign_files(step_directory);
  } catch (const CheckpointError&) {
    return {};
  }
}

int verify(const std::string& given) {
  bool good = true;
  for (const auto& path : chosen(given)) {
    const auto defects = checkpoint::verify(path);
    fmt::print("{}: {}\n", path.string(), defects.empty() ? "good" : "DAMAGED");
    for (const auto& defect : defects) fmt::print("  {}\n", defect);
    for (const auto& file : foreign_to(path)) fmt::print("  note: {} does not belong to the checkpoint, and is not looked at\n", file);
    good = good && defects.empty();
  }
  return good ? 0 : static_cast<int>(ExitCode::checkpoint);
}

int diff(const std::string& a, const std::string& b) {
  const auto difference = checkpoint::diff(whole(a), whole(b), trainer::is_count);
  std::fputs(difference.text.c_str(), stdout);
  return difference.are_equal ? 0 : static_cast<int>(ExitCode::other);
}

// What makes a checkpoint of others.
struct Making {
  std::vector<std::string> from;
  std::string to, mode = "exact", moments = "8", pruning = "mild";
  int64_t threads = 1, last = 0;
  bool lossy = false;

  checkpoint::Rewrite how() const {
    if (mode == "near_exact" && !lossy) {
      throw ConfigError("near_exact keeps optimiser moments in " + moments +
                        " bits and residuals in 8, within a tolerance only: say --lossy if that is what you want");
    }
    if (mode == "extreme" && !lossy) {
      throw ConfigError("extreme keeps of weights and moments what changed most, in 4 bits: say --lossy if that is what you want");
    }
    if (mode != "near_exact" && mode != "extreme" && lossy)
      throw ConfigError("--lossy goes with --mode near_exact or extreme: nothing else loses anything");
    if (to.empty()) throw ConfigError("--to is empty: name the directory that is to be made");
    checkpoint::Rewrite rewrite;
    rewrite.directory = fs::path(to) / "checkpoints";
    rewrite.options.mode = mode;
    rewrite.options.moments = moments;
    rewrite.options.pruning = pruning;
    rewrite.options.threads = threads;
    rewrite.version = kVersion;
    rewrite.tolerance_of = [](std::string_view name) { return trainer::tolerance_of(name); };
    rewrite.guide_of = [](std::string_view name) { return trainer::guide_of(name); };
    return rewrite;
  }
};

// What another mode looks at would be passed over in silence.
void require_mode(const Making& making, const CLI::Option& option, const std::string& mode) {
  if (option.count() > 0 && making.mode != mode)
    throw ConfigError(fmt::format("{} goes with --mode {}: with {} it has no effect", option.get_name(), mode, making.mode));
}

void say_made(const fs::path& path) {
  for (const auto& entry : checkpoint::list(path.parent_path())) {
    if (entry.path == path) fmt::print("{}: {}\n", path.string(), human_bytes(static_cast<double>(entry.bytes)));
  }
}

int convert(const Making& making) {
  const auto how = making.how();
  say_made(checkpoint::convert(whole(making.from.front()), how));
  return 0;
}

// The newest `last` of a run that are whole, or just those named.
std::vector<fs::path> to_average(const Making& making) {
  std::vector<fs::path> paths;
  if (making.last == 0) {
    for (const std::string& given : making.from) paths.push_back(whole(given));
    return paths;
  }
  if (making.from.size() != 1) throw ConfigError("--last takes the newest checkpoints of one run directory");
  const auto entries = checkpoint::list(find(making.from.front()).checkpoints);
  const auto wanted = static_cast<size_t>(making.last);
  std::vector<std::string> damaged;
  for (auto entry = entries.rbegin(); entry != entries.rend() && paths.size() < wanted; ++entry) {
    const std::string name = entry->path.filename().string(), defect = checkpoint::defect_of(entry->path, checkpoint::Needs::everything);
    if (defect.empty()) {
      paths.push_back(entry->path);
    } else {
      log::warn("skipping checkpoint {}: {}", name, defect);
      damaged.push_back(name);
    }
  }
  if (paths.size() < wanted) {
    throw CheckpointError(fmt::format(
        "{}: there are {} whole checkpoints in it, not {}; {}", making.from.front(), paths.size(), making.last,
        damaged.empty() ? "checkpoint.keep says how many stay" : fmt::format("damaged, as said above: {}", join(damaged, ", "))));
  }
  return paths;
}

int average(const Making& making) {
  const auto how = making.how();
  say_made(checkpoint::average(to_average(making), how, [](std::string_view name) { return trainer::is_weight(name); }));
  return 0;
}

CLI::Validator number_from_to(int least, int most) { return CLI::Range(least, most).description(fmt::format("{} to {}", least, most)); }

void add_making(CLI::App& verb, Action& action, const char* name, const char* help, int (*run)(const Making&)) {
  auto making = std::make_shared<Making>();
  const bool several = run == average;
  auto* sub = verb.add_subcommand(name, help);
  sub->add_option("from", making->from,
                  several ? "run directories (their newest whole) or checkpoints" : "run directory (its newest whole one) or checkpoint")
      ->required()
      ->expected(1, several ? 10000 : 1)
      ->default_str("");
  sub->add_option("--to", making->to, "directory; TO/checkpoints/step-N is made, which must not be there")->required();
  sub->add_option("--mode", making->mode,
                  "how tensors are stored: exact, raw, near_exact or extreme, as checkpoint.mode; the latter two need --lossy")
      ->check(one_of({"exact", "raw", "near_exact", "extreme"}));
  auto* moments = sub->add_option("--moments", making->moments, "near_exact: bits of each optimiser moment, 8 or 4");
  moments->check(one_of({"8", "4"}));
  auto* pruning = sub->add_option("--pruning", making->pruning, "extreme: how much is left out, mild or aggressive");
  pruning->check(one_of({"mild", "aggressive"}));
  sub->add_option("--threads", making->threads, "that code and decode")->check(number_from_to(1, 256))->type_name("N");
  sub->add_flag("--lossy", making->lossy, "with near_exact and extreme: what comes back may be another state");
  if (several) {
    auto* last = sub->add_option("--last", making->last, "the newest so many of one run directory; else those that are named");
    last->check(number_from_to(2, 10000))->type_name("N")->default_str("");
  }
  sub->callback([=, &action] {
    require_mode(*making, *moments, "near_exact");
    require_mode(*making, *pruning, "extreme");
    action = [making, run] { return run(*making); };
  });
}

}  // namespace

void add_checkpoints(CLI::App& app, Action& action) {
  auto* verb =
      app.add_subcommand("ckpt", "Looks at checkpoints, and makes others of them: a run directory, or one of its checkpoints/step-N");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int (*run)(const std::string&)) {
    auto path = std::make_shared<std::string>();
    auto* sub = verb->add_subcommand(name, help);
    sub->add_option("path", *path, "run directory or checkpoint")->required();
    sub->callback([path, run, &action] { action = [path, run] { return run(*path); }; });
  };
  add("ls", "checkpoints, oldest first, and what is wrong by names and lengths of files; verify reads them", list);
  add("inspect", "what the (newest) checkpoint holds", inspect);
  add("verify", "re-reads and decodes every byte; exit 4 when one is damaged", verify);
  auto paths = std::make_shared<std::pair<std::string, std::string>>();
  auto* sub = verb->add_subcommand("diff", "compares the states in two (newest) checkpoints; exit 1 when they differ");
  sub->add_option("first", paths->first, "run directory or checkpoint")->required();
  sub->add_option("second", paths->second, "run directory or checkpoint")->required();
  sub->callback([paths, &action] { action = [paths] { return diff(paths->first, paths->second); }; });
  add_making(*verb, action, "convert",
             "the same state, stored in another way; it needs no base but in mode extreme: the step before in TO, if there is one",
             convert);
  add_making(*verb, action, "average", "the mean of the weights of several checkpoints, with everything else as in the newest", average);
}

}  // namespace thinwire::app
