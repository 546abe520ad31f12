// How far long work is, for people who wait: a line on standard error every few seconds, and none for work that is done before the first.
//
// One thread.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "base/stopwatch.h"
#include "base/text.h"

namespace thinwire {

class Progress {
 public:
  static constexpr double kEvery_s = 5;
  using Amount = std::string (*)(double);  // how `done` and `all` are written
  // `write`: takes a line without its end; without: standard error, so that what a verb prints stays alone on standard output.
  explicit Progress(Amount amount = human_bytes, std::function<void(const std::string& line)> write = {}, double every_s = kEvery_s);

  // "encoding: 12.00MB of 101.07MB (12 %), about 35 s more". `all` 0: not known. How long it takes is reckoned from when this `work` was
  // first told of. Cheap: may be called a million times a second.
  void tell(std::string_view work, double done, double all);

 private:
  Amount amount_;
  std::function<void(const std::string& line)> write_;
  double every_s_;
  std::string work_;
  Stopwatch of_work_, since_line_;
};

}  // namespace thinwire
