// A library to preload: a disk whose fsync fails or takes its time, for the files whose path holds a certain text.
//   THINWIRE_FSYNC_OF     the text; without it nothing is changed
//   THINWIRE_FSYNC_FAILS  set: it fails with EIO; else it takes
//   THINWIRE_FSYNC_MS     so many milliseconds
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

extern "C" int fsync(int file) {
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  const char* text = std::getenv("THINWIRE_FSYNC_OF");
  if (text != nullptr && std::strstr(path, text) != nullptr) {
    if (std::getenv("THINWIRE_FSYNC_FAILS") != nullptr) {
      errno = EIO;
      return -1;
    }
    if (const char* ms = std::getenv("THINWIRE_FSYNC_MS")) std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(ms)));
  }
  return static_cast<int>(syscall(SYS_fsync, file));
}
