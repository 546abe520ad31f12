// Checkpoints made of checkpoints, by one process without a run: the same state stored in another way, or the mean of several.
//
// What is made stands alone: it needs no base, but for mode extreme, where the next lower step in the directory becomes its base. It is
// written as a save writes it (under another name, synced, renamed), and every byte that is read was checked against its hashes. Memory:
// the tensors of one file, and their codings. CheckpointError, and nothing is left behind, when a source is damaged, when sources do not
// fit each other, or when the disk refuses. ConfigError when a step of that name is there already, or when sources are too few.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace thinwire::checkpoint {

struct Rewrite {
  std::filesystem::path directory;                               // a checkpoints directory, in which step-N is made; it may not exist yet
  CheckpointOptions options;                                     // mode, moments, threads
  std::string version;                                           // of this program
  std::function<Tolerance(std::string_view name)> tolerance_of;  // what near_exact and extreme may do to which tensor
  std::function<std::string(std::string_view name)> guide_of{};  // state.h
};

// Returns the path of what was made. What a near-exact source has lost stays lost, and the manifest says so.
std::filesystem::path convert(const std::filesystem::path& step_directory, const Rewrite& how);

// At least two, of the same tensors, numbers of ranks and steps that differ. Tensors of floats that `is_averaged` names become the mean of
// all, element by element, added up in double; everything else is that of the newest, whose step it has. The manifest names the sources.
std::filesystem::path average(const std::vector<std::filesystem::path>& step_directories, const Rewrite& how,
                              const std::function<bool(std::string_view name)>& is_averaged);

}  // namespace thinwire::checkpoint
