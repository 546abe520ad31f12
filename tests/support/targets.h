// Runs a test's kernels on every SIMD target that this machine has.
#pragma once
#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace thinwire::test {

template <class F>
void on_every_target(F&& f) {
  for (auto all = hwy::SupportedTargets(); all != 0; all &= all - 1) {
    const auto target = all & -all;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    f();
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace thinwire::test
