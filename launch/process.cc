#include "launch/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "comm/rendezvous/environment.h"

namespace thinwire::launch {

namespace {
struct Pipe {
  Fd read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error(ExitCode::other, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

std::vector<std::string> environment_for(const Command& command) {
  std::vector<std::string> all = comm::environment_variables("");
  std::erase_if(all, [&](const std::string& variable) {
    const auto has_name = [&](const std::string& other) { return name_of(other) == name_of(variable); };
    return std::any_of(command.environment.begin(), command.environment.end(), has_name) ||
           std::any_of(command.unset.begin(), command.unset.end(), has_name);
  });
  all.insert(all.end(), command.environment.begin(), command.environment.end());
  return all;
}

// What posix_spawn is told, freed again.
class Actions {
 public:
  Actions() {
    posix_spawn_file_actions_init(&files_);
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGHUP);  // which nohup has ignored for ranks too
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Actions() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  void connect(int fd, int as) { posix_spawn_file_actions_adddup2(&files_, fd, as); }
  void open(const char* path, int as) { posix_spawn_file_actions_addopen(&files_, as, path, O_RDONLY, 0); }
  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};
}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Process start(const Command& command) {
  Pipe out = make_pipe(), err = make_pipe();
  Process process;
  Actions actions;
  Pipe in;
  if (command.keeps_stdin_open) {
    in = make_pipe();
    actions.connect(in.read.get(), STDIN_FILENO);
  } else {
    actions.open("/dev/null", STDIN_FILENO);
  }
  actions.connect(out.write.get(), STDOUT_FILENO);
  actions.connect(err.write.get(), STDERR_FILENO);
  auto argv = command.argv, environment = environment_for(command);
  const int error = posix_spawnp(&process.pid, argv.front().c_str(), actions.files(), actions.attributes(), pointers(argv).data(),
                                 pointers(environment).data());
  if (error != 0) throw Error(ExitCode::other, fmt::format("cannot start {}: {}", argv.front(), std::strerror(error)));
  for (const Fd* fd : {&out.read, &err.read}) fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  process.out = std::move(out.read);
  process.err = std::move(err.read);
  process.in = std::move(in.write);
  return process;
}

void die_with(pid_t launcher) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) raise(SIGKILL);  // it ended before we could ask
}

}  // namespace thinwire::launch
