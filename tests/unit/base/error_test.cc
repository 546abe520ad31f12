#include "base/error.h"

#include <gtest/gtest.h>

#include <new>

namespace thinwire {
namespace {

template <class Exception>
Failure of(const Exception& exception) {
  return failure_of(std::make_exception_ptr(exception));
}

TEST(Failure, OfAnErrorIsItsCodeAndItsWords) {
  const Failure failure = of(DataError("shard 4 is corrupt"));
  EXPECT_EQ(failure.code, ExitCode::data);
  EXPECT_EQ(failure.why, "shard 4 is corrupt");
  EXPECT_EQ(of(CommError("rank 1: no progress", ExitCode::no_progress)).code, ExitCode::no_progress);
}

// The words are those of LibTorch's allocators: of the host, and of a GPU.
TEST(Failure, OfMemoryIsOutOfMemoryWhoeverHasAskedForIt) {
  for (const Failure& failure :
       {of(std::bad_alloc()), of(std::bad_array_new_length()),
        of(std::runtime_error(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
            "67108864 bytes. Error code 12 (Cannot allocate memory)")),
        of(std::runtime_error("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB"))}) {
    EXPECT_EQ(failure.code, ExitCode::out_of_memory);
    EXPECT_EQ(failure.why, "out of memory; a smaller data.micro_batch, model.context or model.d_model needs less");
  }
}

TEST(Failure, OfAnythingElseKeepsWhatItSays) {
  EXPECT_EQ(of(std::length_error("too long")).code, ExitCode::other);
  EXPECT_EQ(of(std::length_error("too long")).why, "too long");
  EXPECT_EQ(of(42).code, ExitCode::other);
  EXPECT_EQ(of(42).why, "an exception that is no std::exception");
}

}  // namespace
}  // namespace thinwire
