// What a rank that failed leaves behind, and which of several failures came first.
//
// A rank writes why it ends to the file that TORCHELASTIC_ERROR_FILE names, as torchrun's agent and our launcher read it:
// {"message": {"message": ..., "extraInfo": {"timestamp": "<unix seconds>", "py_callstack": ""}}, "exit_code": ..., "timestamp_us": ...}
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace thinwire::launch {

struct ErrorReport {
  std::string message;
  int64_t timestamp_us = 0;  // since 1970
};

// The file is written whole or not at all, and only once: the first error of a process is the one that counts. Never throws.
void write_error_report(const std::filesystem::path& path, ExitCode code, const std::string& message) noexcept;
std::optional<ErrorReport> read_error_report(const std::filesystem::path& path);

inline constexpr int kLauncher = -1;  // in place of a rank: the launcher of another host, which ends as the first of its ranks that failed

// How one rank ended, as the launcher saw it.
struct End {
  int rank = 0;  // or kLauncher
  std::string host;
  int code = 0;                       // exit code; 0 when a signal ended it
  int signal = 0;                     // 0: none
  int64_t timestamp_us = 0;           // of its report, else of its end
  std::optional<std::string> reason;  // of its report
  bool failed() const { return code != 0 || signal != 0; }
};

// Of another host's launcher: what ssh, which starts it, ends with by itself becomes a failure of transport that says how to try ssh.
void explain_ssh(End& end);

// True for messages of a rank that fails because of another one: "rank 3: ...", "lost rank 3 ...".
bool blames_another(const std::string& message);

// The failure that came first: by timestamp, among those that blame no other rank if there are any. Nothing when all went well.
std::optional<End> first_failure(std::span<const End> ends);

int exit_code_of(const End& end);          // of the launcher: the rank's, 128 + signal for a signal
std::string describe_end(const End& end);  // "rank 3 on host: killed by SIGKILL (likely out of host memory: see dmesg)"

// Whose fault the first failure is, as far as can be told. A rank that hangs says nothing: others notice it, and fail first.
struct Blame {
  int rank = 0;      // the first that is to blame
  std::string text;  // "rank 2 does not go on, reported by rank 0 on host: exit code 6 (no progress)"; else as describe_end()
};
Blame blame_for(const End& first);
std::string meaning_of(int exit_code);  // "rendezvous or transport"; empty for unknown ones
int64_t now_us();

}  // namespace thinwire::launch
