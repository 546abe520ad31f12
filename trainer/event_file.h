// A TensorBoard event file, written without TensorBoard.
//
// The format, as its sources read it (tensorboard/summary/writer/record_writer.py, compat/proto/{event,summary}.proto): records of a
// length, the masked CRC-32C of the length, a serialised `Event`, and the masked CRC-32C of that; the first one says "brain.Event:2".
// The few fields that are needed are encoded by hand.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "trainer/record_file.h"

namespace thinwire::trainer {

struct Scalar {
  std::string_view tag;  // "train/loss": TensorBoard groups by what is before the slash
  float value;
};

class EventFile {
 public:
  // Makes <directory>/events.out.tfevents.<seconds>.<host>.<process>.0. Error where it cannot. `first_step` above 1: the run was resumed,
  // and TensorBoard drops what an earlier file says of that step and later ones. A disk that is full costs records: record_file.h.
  EventFile(const std::filesystem::path& directory, double wall_time_s, int64_t first_step);

  void scalars(double wall_time_s, int64_t step, std::span<const Scalar> scalars);
  void text(double wall_time_s, std::string_view tag, std::string_view markdown);  // at step 0

 private:
  void append(const std::string& record);
  RecordFile file_;
  std::string head_;  // what has to come first, until it is written
};

// One record, for the tests: its framing around a serialised message.
std::string event_record(std::string_view event);

}  // namespace thinwire::trainer
