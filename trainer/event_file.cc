#include "trainer/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/log.h"

namespace thinwire::trainer {

namespace {

// The wire format of Protocol Buffers, as far as it is needed.
class Message {
 public:
  void varint(int field, uint64_t value) {
    key(field, 0);
    raw_varint(value);
  }
  void fixed(int field, double value) { number(field, 1, value); }
  void fixed(int field, float value) { number(field, 5, value); }
  void bytes(int field, std::string_view value) {
    key(field, 2);
    raw_varint(value.size());
    bytes_ += value;
  }
  void message(int field, const Message& value) { bytes(field, value.bytes_); }
  const std::string& serialised() const { return bytes_; }

 private:
  void key(int field, int type) { raw_varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(type)); }
  void raw_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  template <class T>
  void number(int field, int type, T value) {
    key(field, type);
    const auto bits = std::bit_cast<std::array<char, sizeof value>>(value);
    bytes_.append(bits.data(), bits.size());
  }

  std::string bytes_;
};

// Field numbers.
namespace event {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr int kStatus = 1;
constexpr uint64_t kStart = 1;
}  // namespace session_log
namespace summary {
constexpr int kValue = 1;
}
namespace value {
constexpr int kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;
}
namespace metadata {
constexpr int kPlugin = 1, kPluginName = 1;
}
namespace tensor {
constexpr int kType = 1, kShape = 2, kStrings = 8, kDim = 2, kDimSize = 1;
constexpr uint64_t kString = 7;
}  // namespace tensor

Message event_at(double wall_time_s, int64_t step) {
  Message message;
  message.fixed(event::kWallTime, wall_time_s);
  if (step != 0) message.varint(event::kStep, static_cast<uint64_t>(step));
  return message;
}

// So that a checksum may be stored among what is checked.
uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes_of(bytes)), 15) + 0xa282ead8; }

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof value, '\0');
  store_le(std::as_writable_bytes(std::span(bytes)).data(), value);
  return bytes;
}

std::filesystem::path new_path(const std::filesystem::path& directory, double wall_time_s) {
  std::error_code failed;  // then the file cannot be made either
  std::filesystem::create_directories(directory, failed);
  return directory / fmt::format("events.out.tfevents.{:010d}.{}.{}.0", static_cast<int64_t>(wall_time_s), log::host_name(), getpid());
}

}  // namespace

std::string event_record(std::string_view event) {
  const std::string length = little_endian(uint64_t{event.size()});
  return length + little_endian(masked_crc(length)) + std::string(event) + little_endian(masked_crc(event));
}

EventFile::EventFile(const std::filesystem::path& directory, double wall_time_s, int64_t first_step)
    : file_(new_path(directory, wall_time_s)) {
  Message version = event_at(wall_time_s, 0);
  version.bytes(event::kFileVersion, "brain.Event:2");
  head_ = event_record(version.serialised());
  if (first_step > 1) {
    Message restart = event_at(wall_time_s, first_step), status;
    status.varint(session_log::kStatus, session_log::kStart);
    restart.message(event::kSessionLog, status);
    head_ += event_record(restart.serialised());
  }
  append("");
}

void EventFile::scalars(double wall_time_s, int64_t step, std::span<const Scalar> scalars) {
  Message values;
  for (const auto& [tag, number] : scalars) {
    Message one;
    one.bytes(value::kTag, tag);
    one.fixed(value::kSimpleValue, number);
    values.message(summary::kValue, one);
  }
  Message message = event_at(wall_time_s, step);
  message.message(event::kSummary, values);
  append(event_record(message.serialised()));
}

void EventFile::text(double wall_time_s, std::string_view tag, std::string_view markdown) {
  Message plugin, metadata, one_string, shape, tensor, text, values;
  plugin.bytes(metadata::kPluginName, "text");
  metadata.message(metadata::kPlugin, plugin);
  one_string.varint(tensor::kDimSize, 1);
  shape.message(tensor::kDim, one_string);
  tensor.varint(tensor::kType, tensor::kString);
  tensor.message(tensor::kShape, shape);
  tensor.bytes(tensor::kStrings, markdown);
  text.bytes(value::kTag, tag);
  text.message(value::kTensor, tensor);
  text.message(value::kMetadata, metadata);
  values.message(summary::kValue, text);
  Message message = event_at(wall_time_s, 0);
  message.message(event::kSummary, values);
  append(event_record(message.serialised()));
}

void EventFile::append(const std::string& record) {
  if (file_.append(head_ + record)) head_.clear();
}

}  // namespace thinwire::trainer
