// What is written where a user said: a file or a folder is there whole, or not at all.
//
// Whatever is in the way is an Error(other) that names the path, the system's reason and the fix (docs/exit_codes.md). Any thread.
#pragma once
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace thinwire {

// "cannot write PATH: No space left on device; free some space there, or write elsewhere". `error`: of errno.
Error output_error(const std::filesystem::path& path, int error);

// write(2) until all is written. 0, or errno, with some of it written perhaps.
int write_whole(int file, ConstBytes bytes);

// A file that is written from front to end, in place of what was there. Left unfinished, it is closed as it is.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path, std::filesystem::path named = {});  // `named`: in messages, where that is another
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(ConstBytes bytes);
  void close();  // some file systems say only now that they are full

 private:
  std::filesystem::path named_;
  int file_;
};

// Folders that an output wants and that are not there yet: a folder and those above it. Makes none. When it goes, it takes those along that
// are there and empty: where no output came about.
class NewFolders {
 public:
  explicit NewFolders(std::filesystem::path folder);
  ~NewFolders();
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

 private:
  std::vector<std::filesystem::path> paths_;  // the innermost first
};

// A file with this content, in place of what was there: readers see the old one or the new one. Folders above it are made.
void write_text(const std::filesystem::path& path, std::string_view content);

// `fill` writes into a folder beside this one, which takes its name when all is there. Nothing of that name may be there. When `fill`
// throws, what it wrote is removed. Folders above are made.
void write_folder(const std::filesystem::path& folder, const std::function<void(const std::filesystem::path& temporary)>& fill);

}  // namespace thinwire
