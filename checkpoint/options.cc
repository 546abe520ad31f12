#include "checkpoint/checkpoint.h"

namespace thinwire::checkpoint {

void describe(config::Section& section, CheckpointOptions& options) {
  section.integer("every", options.every, {0}, "steps between checkpoints; 0: only at the end and when stopped by a signal");
  section.integer("keep", options.keep, {0}, "newest checkpoints that stay on disk; 0: all");
}

}  // namespace thinwire::checkpoint
