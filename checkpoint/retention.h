// How a finished directory takes its name, and how older ones and leftovers go. Only rank 0 does this.
//
// Never is a moment without a whole checkpoint, once there was one: docs/formats/checkpoint.md has the table of crash windows.
#pragma once
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/files.h"

namespace thinwire::checkpoint {

// After a crash: a whole directory that was moved aside for a successor that never came gets its name back.
void recover_replaced(Files& files, const std::filesystem::path& directory);

// recover_replaced(), then removes what earlier saves left half written or half deleted. Foreign names stay.
void sweep(Files& files, const std::filesystem::path& directory);

// The commit: `temporary` (a name in `directory`, complete and synced) becomes step-N, durably. A step-N that is there steps aside to
// .old-*. On failure everything has its old name again as far as the disk allows.
void publish(Files& files, const std::filesystem::path& directory, const std::string& temporary, int64_t step, const std::string& id);

// Removes what a failed save wrote; when that fails too, it warns and leaves it to the next sweep().
void abandon(Files& files, const std::filesystem::path& directory, const std::string& temporary) noexcept;

// Deletes all committed checkpoints but the newest options.keep (0: all stay) up to `just_saved`, those of every options.keep_every-th
// step, and those that these are coded against; and what publish() moved aside, unless it is one of the latter: then it becomes .base-*.
// What is known to be `damaged` takes no place of a good one. Steps beyond `just_saved` are of another course and stay.
void retain(Files& files, const std::filesystem::path& directory, const CheckpointOptions& options, int64_t just_saved,
            const std::set<int64_t>& damaged, const std::string& id);

}  // namespace thinwire::checkpoint
