#include "trainer/resume.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "config/load.h"

namespace thinwire::trainer {

namespace {
using Values = std::map<std::string, std::string>;  // of keys

// What older versions recorded, as this one would have. What had no such key was trained with what is now the default.
Values in_terms_of_today(Values saved, const Values& config) {
  Options defaults;
  for (const auto& [key, value] : config::flatten(config::describe_root(defaults))) {
    if (config.contains(key)) saved.try_emplace(key, value);
  }
  // auto that had found no GPU was once kept by that name.
  if (const auto device = saved.find("run.device"); device != saved.end() && device->second == "auto") device->second = "cpu";
  return saved;
}

void refuse_other_config(const Values& recorded, const Values& config, const std::string& where, SavedBy saved_by) {
  const Values saved = in_terms_of_today(recorded, config);
  const auto may_change = [&](const std::string& key) {
    return may_change_on_resume(key) || (saved_by == SavedBy::another_number && key == "data.micro_batch");
  };
  const auto value_in = [](const Values& values, const std::string& key) {
    const auto it = values.find(key);
    return it == values.end() ? "absent" : it->second;
  };
  auto keys = saved;
  keys.insert(config.begin(), config.end());
  std::vector<std::string> differences;
  for (const auto& [key, unused] : keys) {
    const std::string before = value_in(saved, key), now = value_in(config, key);
    if (before != now && !may_change(key)) differences.push_back(fmt::format("  {}: checkpoint {}, config {}", key, before, now));
  }
  if (differences.empty()) return;
  throw CheckpointError(
      fmt::format("{} belongs to another configuration:\n{}\nresume with the same values, or start a new run, with "
                  "another run.name and without --resume; with model.init it begins with the weights of a run or checkpoint",
                  where, join(differences, "\n")));
}
void restore_plan(Parts& parts, const checkpoint::RunFacts& facts, const std::string& where) {
  const auto plan = facts.notes.find("plan");
  if (plan == facts.notes.end()) return;
  try {
    parts.planner->restore(plan->second);
  } catch (const CorruptData& e) {
    throw CheckpointError(where + ": " + e.what());
  }
  place_gradients(parts);
}

// Later checkpoints carry on what this one is known to have lost.
void note_losses(Parts& parts, int64_t step, Restored& restored) {
  const size_t before = parts.source().facts(step).lossy_restores.size();
  parts.lossy_restores = parts.source().lossy_restores_of_load(step);
  if (parts.lossy_restores.size() > before) {
    const std::string& how = parts.lossy_restores.back().how;
    const bool is_extreme = how == "extreme";
    restored.how += is_extreme ? ", from an extreme checkpoint" : ", within the tolerances of near_exact";
    log::info(
        "the checkpoint of step {} was saved with checkpoint.mode {}: {}, so the run goes on {}otherwise than if it had not been stopped; "
        "later checkpoints will say so",
        step, how,
        is_extreme ? "weights and moments are off by what `thinwire ckpt inspect` shows"
                   : "moments and residuals are within the tolerances that `thinwire ckpt inspect` shows",
        is_extreme ? "" : "a little ");
  }
  for (size_t i = 0; i < before; ++i)
    log::info("its state had gone through the checkpoint of step {} before ({})", parts.lossy_restores[i].step,
              parts.lossy_restores[i].how);
}
}  // namespace

checkpoint::State state_at(Parts& parts, int64_t step, std::array<int64_t, 4>& wire_totals, HostMemory& host, SavedBy saved_by) {
  auto state = run_state(*parts.model, *parts.optimizer, *parts.schedule, wire_totals, host, saved_by);
  state.numbers = {{"step", step},
                   {"data/next_sample", step * parts.options.data.global_batch},
                   {"data/hash", static_cast<int64_t>(parts.task->facts().hash)}};
  return state;
}

Restored resume(Parts& parts) {
  Restored restored;
  if (!parts.location.may_resume) return restored;
  const auto step = parts.location.step ? parts.location.step : parts.source().newest_good();
  if (!step) {
    if (parts.request.resume.mode == Resume::Mode::path) {
      throw CheckpointError(fmt::format("--resume {}: there is no checkpoint in it", parts.request.resume.path.string()));
    }
    log::info("--resume auto: no checkpoint yet, starting from step 0");
    return restored;
  }
  const checkpoint::RunFacts facts = parts.source().facts(*step);
  const std::string where = fmt::format("the checkpoint of step {} in {}", *step, parts.location.source.string());
  const int world = parts.source().world(*step);
  const SavedBy saved_by = world == parts.driver.size() ? SavedBy::as_many_ranks : SavedBy::another_number;
  refuse_other_config(facts.config, parts.config, where, saved_by);
  restore_plan(parts, facts, where);  // which decides what state there is
  HostMemory host;
  auto state = state_at(parts, *step, restored.wire_totals, host, saved_by);
  const std::vector<std::string> regrouped = parts.source().load(*step, state);
  host.store();
  if (saved_by == SavedBy::another_number) parts.exchange->regrouped();
  if (state.numbers.at("data/hash") != static_cast<int64_t>(parts.task->facts().hash)) {
    throw CheckpointError(
        fmt::format("the checkpoint of step {} was trained on other data (its hash differs); resume with the same data", *step));
  }
  restored.step = state.numbers.at("step");
  restored.how = fmt::format("from step {}", restored.step);
  if (saved_by == SavedBy::another_number) {
    restored.how += fmt::format(", saved by {} rank{}, on {}", world, world == 1 ? "" : "s", parts.driver.size());
    log::info("{}: the same samples in the same order, {} per step as before", restored.how, parts.options.data.global_batch);
    for (const std::string& line : regrouped) log::info("  {}", line);
  }
  note_losses(parts, *step, restored);
  return restored;
}

}  // namespace thinwire::trainer
