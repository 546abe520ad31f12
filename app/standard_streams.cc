#include "app/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/error.h"

namespace thinwire::app {

void occupy_closed_streams() {
  int fd = STDIN_FILENO;
  while (fd >= 0 && fd <= STDERR_FILENO) fd = open("/dev/null", O_RDONLY);  // takes the lowest that is free
  if (fd >= 0) close(fd);
}

void check_standard_output() {
  std::cout.flush();
  const bool is_flushed = std::fflush(stdout) == 0;
  if (is_flushed && std::ferror(stdout) == 0 && std::cout.good()) return;
  throw Error(ExitCode::other, "standard output could not be written whole: is the disk full that it goes to, or is it closed?");
}

}  // namespace thinwire::app
