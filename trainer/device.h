// Where a rank's model lives (run.device): on the host, or on a GPU of it.
//
//   cpu    the host's memory and cores
//   cuda   a GPU; ranks of one host take its GPUs in turn, and share them when there are more ranks than GPUs
//   auto   cuda where every rank has a GPU of its own, else cpu
//
// LibTorch's CUDA half is loaded only when it may be used (docs/cuda.md): a program that stays on the host never needs it.
#pragma once
#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "comm/driver.h"

namespace thinwire::trainer {

struct Device {
  c10::Device at = c10::Device(c10::DeviceType::CPU);
  std::string description = "cpu";  // for the log: what was chosen, and why not more
};

// A collective. `hosts`: the name of each rank's host. ConfigError on all ranks when cuda is asked for and some rank has none: it names the
// rank and what is missing.
Device choose_device(comm::Driver& driver, const std::string& asked, const std::vector<std::string>& hosts);

}  // namespace thinwire::trainer
