#include "trainer/rehearsal.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "estimate/disk.h"
#include "estimate/wire.h"
#include "trainer/agreement.h"
#include "trainer/announce.h"
#include "trainer/loop.h"

namespace thinwire::trainer {

namespace fs = std::filesystem;

namespace {

std::string memory_line(const std::optional<Outlook>& outlook) {
  const std::string now = fmt::format("{} in this process at its peak so far", human_bytes(static_cast<double>(peak_resident_bytes())));
  if (!outlook) return fmt::format("not estimated for a GPU; {}", now);
  const auto& memory = outlook->memory;
  return fmt::format("estimated {} a process, {} on this host; {}; {}", human_bytes(memory.process_bytes), human_bytes(memory.host_bytes),
                     outlook->available ? human_bytes(outlook->available->bytes) + " available (" + outlook->available->limit + ")"
                                        : "available: not known",
                     now);
}

std::string wire_line(const estimate::Subject& subject, const Loop::OneStep& step) {
  if (subject.ranks == 1) return "nothing: there is one rank";
  const estimate::Wire wire = estimate::wire_of(subject);
  const double estimated = step.dense ? wire.round.dense.sent_bytes : wire.round.compressed.sent_bytes;
  return fmt::format("{} sent by rank 0 in a{} round, estimated {}; later {} in a step", human_bytes(static_cast<double>(step.sent_bytes)),
                     step.dense ? " dense" : "", human_bytes(estimated), human_bytes(wire.step_bytes));
}

}  // namespace

ExitCode rehearse(Parts& parts, const Restored& restored, const comm::Transport& transport, const estimate::Subject& subject,
                  const std::optional<Outlook>& outlook) {
  const estimate::Disk disk = estimate::disk_of(subject);
  const int world = parts.driver.size();
  const std::string directory = parts.location.directory.string(), resumes = restored.how.empty() ? "a fresh start" : restored.how;
  Loop loop(parts, restored);
  const Loop::OneStep step = loop.try_step();
  const auto losses = gather_values(parts.driver, "losses of a step", step.loss);
  if (parts.driver.rank() != 0) return ExitCode::ok;
  double loss = 0;
  for (const double one : losses) loss += one / world;
  std::string text = parts.request.resolved_yaml;
  const auto add = [&](const char* what, const std::string& found) { text += fmt::format("# {:<11}{}\n", what, found); };
  add("run", fmt::format("{}, {}", directory, resumes));
  add("data", parts.task->facts().description);
  add("memory", memory_line(outlook));
  add("disk", fmt::format("a checkpoint takes about {}, the {} at most that are there at once {}; {} are free",
                          human_bytes(disk.checkpoint_bytes) +
                              (disk.link_bytes > 0 ? ", or " + human_bytes(disk.link_bytes) + " behind another" : ""),
                          disk.kept, human_bytes(disk.kept_bytes),
                          human_bytes(static_cast<double>(fs::space(nearest_existing(parts.location.directory)).available))));
  add("step", fmt::format("loss {:.4f} in {:.2f} s, the first, which loads code", loss, step.step_s));
  add("wire", wire_line(subject, step));
  text += fmt::format("# {} rank{} over {}; nothing was kept: --dry-run", world, world == 1 ? "" : "s", transport.name());
  log::info("{}", text);
  warn_of_odd_choices(parts);
  return ExitCode::ok;
}

}  // namespace thinwire::trainer
