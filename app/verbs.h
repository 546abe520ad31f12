// The verbs of the command line: each adds its options and says what runs when it is chosen.
//
// A verb's action returns the exit code, or throws Error with one.
#pragma once
#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace thinwire::app {

using Action = std::function<int()>;  // set by the verb that was chosen

void add_verbs(CLI::App& app, int argc, char** argv, Action& action);  // all of these

// How many of the arguments are for us to parse: those of launch end at --, behind which stands what it starts.
int own_arguments(int argc, char** argv);

void add_train(CLI::App& app, int argc, char** argv, Action& action);
void add_launch(CLI::App& app, int argc, char** argv, Action& action);
void add_checkpoints(CLI::App& app, Action& action);  // ckpt ls | inspect | verify | diff | convert | average
void add_config(CLI::App& app, Action& action);       // config print | docs | schema
void add_doctor(CLI::App& app, Action& action);
void add_estimate(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_export(CLI::App& app, Action& action);
void add_generate(CLI::App& app, Action& action);
void add_import(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_prepare_data(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_version(CLI::App& app, Action& action);

std::string build_description();  // one line
std::string version_text();       // what `thinwire version` and --version say

}  // namespace thinwire::app
