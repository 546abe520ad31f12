// What a run is made of, in the order in which it is built: later parts refer to earlier ones. Stays where it was made.
#pragma once
#include <memory>

#include "checkpoint/checkpoint.h"
#include "comm/driver.h"
#include "exchange/planner.h"
#include "exchange/schedule.h"
#include "models/model.h"
#include "trainer/device.h"
#include "trainer/optimizer.h"
#include "trainer/precision.h"
#include "trainer/residence.h"
#include "trainer/task.h"
#include "trainer/trainer.h"
#include "trainer/watchdog.h"

namespace thinwire::trainer {

struct Parts {
  const Options& options;
  const RunRequest& request;
  comm::Driver& driver;
  Watchdog& watchdog;
  std::map<std::string, std::string> config;  // as asked for, with what auto has become where that changes the trajectory
  RunLocation location;
  int64_t micro_batches;
  std::unique_ptr<Task> task;
  Device device;
  Precision precision;
  std::unique_ptr<models::Model> model;
  std::unique_ptr<exchange::Residence> residence;  // null on the host
  std::unique_ptr<exchange::Exchange> exchange;
  std::unique_ptr<exchange::Schedule> schedule;
  std::unique_ptr<exchange::Planner> planner;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<checkpoint::Store> store;
  std::unique_ptr<checkpoint::Store> branched_from;      // of the run that this one branches off from, if it does
  std::vector<checkpoint::LossyRestore> lossy_restores;  // that this run's state has behind it
  bool passes_as_graph = false;
  bool armed = false;  // backward's hooks report gradients: set in the last micro-batch

  Parts(const Options& o, const RunRequest& r, comm::Driver& d, Watchdog& w)
      : options(o), request(r), driver(d), watchdog(w), config(r.config), micro_batches(0) {}
  checkpoint::Store& source() { return branched_from ? *branched_from : *store; }  // what a resume reads
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
};

std::vector<at::Tensor> values_of(const models::Model& model);  // its parameters, in order
void place_gradients(Parts& parts);                             // where the exchange's table, which is new, wants them

}  // namespace thinwire::trainer
