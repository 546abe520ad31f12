// A disk that is full, by the kernel's own word: files may not grow beyond a limit. What still fits is written, then comes an error, as on
// a full disk (EFBIG in place of ENOSPC).
#pragma once
#include <sys/resource.h>

#include <csignal>

namespace thinwire::test {

// For this process, for as long as it lives; what a test says on the way counts too where it goes to a file.
class SmallFiles {
 public:
  explicit SmallFiles(rlim_t most_bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit small{most_bytes, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallFiles() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, handler_);
  }
  SmallFiles(const SmallFiles&) = delete;
  SmallFiles& operator=(const SmallFiles&) = delete;

 private:
  rlimit limit_{};
  void (*handler_)(int);
};

}  // namespace thinwire::test
