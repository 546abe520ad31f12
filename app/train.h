// What other verbs must know of train.
#pragma once
#include <string>
#include <vector>

#include "comm/rendezvous/environment.h"
#include "trainer/options.h"

namespace thinwire::app {

// The transport that `auto` stands for. ConfigError for worlds that do not fit: else N processes would train N copies, silently.
std::string choose_transport(const trainer::Options& options, const comm::LaunchEnvironment& env);

// Refuses what every rank would refuse: words behind `train` that do not parse, a configuration that is wrong, a world that does not fit
// (ConfigError). Touches nothing. Returns the transport that ranks would use; empty when help was asked for, and printed.
std::string check_train(std::vector<std::string> words, const comm::LaunchEnvironment& env);

}  // namespace thinwire::app
