// A child process whose output we read. The launcher is one thread, so nothing here is thread-safe.
#pragma once
#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace thinwire::launch {

// A file descriptor that is closed when it goes.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

struct Command {
  std::vector<std::string> argv;         // argv[0] is looked for in PATH when it holds no slash
  std::vector<std::string> environment;  // "NAME=value": over ours
  std::vector<std::string> unset;        // names that the child shall not see
  bool keeps_stdin_open = false;         // a pipe that ends when we do, else /dev/null
};

struct Process {
  pid_t pid = -1;
  Fd out, err;  // to read, without waiting
  Fd in;        // keeps_stdin_open: its end tells the child that we are gone
  bool has_ended = false;
  int status = 0;  // as of waitpid, once it has ended
};

// In a process group of its own, so that a terminal's Ctrl+C reaches it through us alone, with default signal handlers, but an ignored
// SIGHUP (nohup) stays ignored. Throws Error(other) when the program cannot be started.
Process start(const Command& command);

// Of a child: ends this process when the launcher with that pid does, however it ends. To be called first thing in main.
void die_with(pid_t launcher);

}  // namespace thinwire::launch
