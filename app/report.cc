#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "app/verbs.h"
#include "base/output.h"
#include "report/page.h"

namespace thinwire::app {

namespace fs = std::filesystem;

namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string out;
};

int write_report(const ReportArguments& arguments) {
  std::vector<report::RunRecord> runs;
  runs.reserve(arguments.runs.size());
  for (const auto& directory : arguments.runs) runs.push_back(report::read_run(directory));
  const fs::path out = !arguments.out.empty() ? fs::path(arguments.out)
                       : runs.size() == 1     ? fs::path(arguments.runs[0]) / "report.html"
                                              : "report.html";
  write_text(out, report::make_page(runs));
  fmt::print("{}\n", out.string());
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("report", "Writes one HTML page about one run, or about several side by side; it needs no network");
  auto arguments = std::make_shared<ReportArguments>();
  verb->add_option("runs", arguments->runs, "run directories")->required();
  verb->add_option("-o,--out", arguments->out, "the page (RUN/report.html; of several runs ./report.html)");
  verb->callback([arguments, &action] { action = [arguments] { return write_report(*arguments); }; });
}

}  // namespace thinwire::app
