// Chunks by several threads.
#pragma once
#include <functional>

#include "checkpoint/exact/chunk.h"

namespace thinwire::checkpoint::exact {

// work(i, coder) for i = 0, 1, ..., count - 1, each by one of at most `threads` threads, the caller's among them, with a coder of its own.
// All are gone when it returns. The first exception is rethrown; what was not begun by then is left out.
void in_parallel(size_t count, int threads, const std::function<void(size_t, ChunkCoder&)>& work);

}  // namespace thinwire::checkpoint::exact
