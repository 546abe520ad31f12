// What is looked at, without peers. Each throws nothing for what it finds wrong: that is a finding.
#pragma once
#include "app/doctor/finding.h"
#include "comm/rendezvous/environment.h"
#include "trainer/options.h"

namespace thinwire::app::doctor {

struct Patient {
  const trainer::Options& options;  // defaults where no configuration is given
  bool is_configured = false;
  comm::LaunchEnvironment environment;
  std::string transport;  // that a run would use
};

Findings check_libraries(const Patient& patient);  // built with, found, and what is missing of them
Findings check_settings(const Patient& patient);   // codecs, policies and the model's parameters together
// The files of data.source, or of the packages that bring data; data.tokenizer; the model of model.init.
Findings check_data(const Patient& patient);
Findings check_machine(const Patient& patient);  // cores and binding, memory, disks, clock
Findings check_network(const Patient& patient);  // interfaces, names, ports

}  // namespace thinwire::app::doctor
