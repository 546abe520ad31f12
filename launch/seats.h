// Who is started, with which words and variables: the ranks of this host, or a launcher on each host of a hostfile. Internal to launch.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "comm/options.h"
#include "launch/launcher.h"
#include "launch/ranks.h"

namespace thinwire::launch {

// Ranks on this host. Options and work must outlive it.
class LocalSeats {
 public:
  LocalSeats(const LaunchOptions& options, const Work& work, std::filesystem::path scratch);

  // For the start of that number, 0 at first. CommError when no port is free for ranks to meet at.
  std::vector<Seat> make(int start, const std::vector<std::string>& arguments) const;
  std::filesystem::path note() const { return scratch_ / "run_directory"; }  // where the first of them writes its run directory's path

 private:
  std::vector<std::string> variables(const Seat& seat, int local, int start, const comm::HostPort& meeting) const;

  const LaunchOptions& options_;
  const Work& work_;
  const std::filesystem::path scratch_;
  const std::string run_;
};

// A launcher on each host of the hostfile; of each the exit code and the console are its ranks'. ConfigError for a hostfile that is wrong.
std::vector<Seat> remote_seats(const LaunchOptions& options, const Work& work);

}  // namespace thinwire::launch
